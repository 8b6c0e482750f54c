#!/usr/bin/env python3
"""A file server for the tests: GET with ranges and versions, HEAD, PUT and DELETE below a folder, and its bad days.

    server.py FOLDER        serves FOLDER/root; writes FOLDER/ca.crt and then FOLDER/ports ("HTTP HTTPS"); logs requests
                            to FOLDER/requests; ends with its stdin

The first part of a path may ask for a bad day, which the rest of it then has, as often as its number says:

    /busy-2/…       429 with Retry-After: 0 (the first two requests)       /down-2/…       503 without a word
    /cut-3/…        the connection breaks after half of what is left       /cutnow-1/…     the same, without ETag and date
    /swap-1/…       it breaks, and the file is another one afterwards      /mute-1/…       no answer
    /whole/…        ranges are not known        /odd/…       a range answers with another part
    /to/URL         a redirect                  /round/…     a redirect to itself
    /stall/…        half of the file and then silence
    /later/…        429 with Retry-After: 900   /login/…     asks for user:word
"""
import base64
import email.utils
import hashlib
import http.server
import os
import ssl
import subprocess
import sys
import threading
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, form, *words):
        with self.server.lock, open(os.path.join(self.server.folder, "requests"), "a") as out:
            print(self.command, self.path, self.headers.get("Range", "-"), self.headers.get("If-Range", "-"),
                  self.headers.get("Authorization", "-"), *words[1:2], file=out)

    def refuse(self, code, *headers):
        self.send_response(code)
        for name, text in (("Content-Length", "0"), *headers):
            self.send_header(name, text)
        self.end_headers()

    def fault(self, name):
        """One of the times that "NAME-COUNT" in the path asks for."""
        kind, _, count = self.fault_name.partition("-")
        if kind != name:
            return False
        with self.server.lock:
            done = self.server.faults.get(self.path, 0)
            self.server.faults[self.path] = done + 1
        return done < int(count or 1)

    def begin(self):
        """The local path; None if all is answered."""
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        self.fault_name, _, rest = path[1:].partition("/")
        known = ("busy", "down", "cut", "cutnow", "swap", "mute", "whole", "odd", "to", "round", "later", "login", "stall")
        if self.fault_name.partition("-")[0] not in known:
            self.fault_name, rest = "", path[1:]
        if self.fault("busy"):
            return self.refuse(429, ("Retry-After", "0"))
        if self.fault("down"):
            return self.refuse(503)
        if self.fault("mute"):
            self.server.over.wait(20)
            self.close_connection = True
            return None
        if self.fault_name == "later":
            return self.refuse(429, ("Retry-After", "900"))
        if self.fault_name == "to":
            return self.refuse(302, ("Location", rest))
        if self.fault_name == "round":
            return self.refuse(307, ("Location", self.path))
        wanted = "Basic " + base64.b64encode(b"us@er:wo:rd").decode()
        if self.fault_name == "login" and self.headers.get("Authorization") != wanted:
            return self.refuse(401, ("WWW-Authenticate", 'Basic realm="tests"'))
        return os.path.join(self.server.folder, "root", rest)

    def part(self, size, version):
        """The range that is wanted of so many bytes: (status, begin, end)."""
        wanted = self.headers.get("Range")
        if not wanted or self.fault_name == "whole" or self.headers.get("If-Range", version) != version:
            return 200, 0, size
        first, _, last = wanted.partition("=")[2].partition("-")
        if int(first) >= size:
            return 416, 0, 0
        return 206, int(first), min(int(last) + 1, size) if last else size

    def do_GET(self):
        path = self.begin()
        if path is None:
            return None
        if not os.path.isfile(path):
            return self.refuse(404)
        with open(path, "rb") as file:
            body = file.read()
        version = '"%s"' % hashlib.sha256(body).hexdigest()[:16]
        status, begin, end = self.part(len(body), version)
        if status == 416:
            return self.refuse(416, ("Content-Range", "bytes */%d" % len(body)))
        self.send_response(status)
        if self.fault_name.partition("-")[0] != "cutnow":
            self.send_header("ETag", version)
            self.send_header("Last-Modified", email.utils.formatdate(os.path.getmtime(path), usegmt=True))
        if status == 206:
            shown = begin + 1 if self.fault_name == "odd" else begin
            self.send_header("Content-Range", "bytes %d-%d/%d" % (shown, end - 1, len(body)))
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        if self.command == "HEAD":
            return None
        if self.fault_name == "stall":
            self.wfile.write(body[:len(body) // 2])
            self.server.over.wait(40)
            self.close_connection = True
            return None
        if self.fault("cut") or self.fault("cutnow") or self.fault("swap"):
            self.wfile.write(body[begin:begin + (end - begin) // 2])
            self.wfile.flush()
            self.close_connection = True
            if self.fault_name.startswith("swap"):
                with open(path, "wb") as file:
                    file.write(b"another")
            return self.connection.shutdown(2)
        return self.wfile.write(body[begin:end])

    do_HEAD = do_GET

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.begin()
        if path is None:
            return
        if os.path.isdir(path):
            self.refuse(405)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "wb") as file:
            file.write(body)
        os.rename(path + ".new", path)
        self.refuse(201)

    def do_DELETE(self):
        path = self.begin()
        if path is None:
            return
        there = os.path.isfile(path)
        if there:
            os.unlink(path)
        self.refuse(204 if there else 404)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.lock, self.faults, self.over = folder, threading.Lock(), {}, threading.Event()

    def handle_error(self, request, client_address):
        pass  # a client that goes away


def certificate(folder):
    """An authority, and a server's certificate of it for 127.0.0.1."""
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(os.path.join(folder, "names"), "w") as out:
        out.write("subjectAltName=IP:127.0.0.1\n")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=tests")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "server.key",
            "-out", "server.csr", "-subj", "/CN=server")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", "server.crt")


def main():
    folder = sys.argv[1]
    os.makedirs(os.path.join(folder, "root"), exist_ok=True)
    certificate(folder)
    plain, secure = Server(folder), Server(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "server.crt"), os.path.join(folder, "server.key"))
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    for server in (plain, secure):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with open(os.path.join(folder, "ports.new"), "w") as out:
        print(plain.server_port, secure.server_port, file=out)
    os.rename(os.path.join(folder, "ports.new"), os.path.join(folder, "ports"))
    sys.stdin.read()
    plain.over.set()
    secure.over.set()


main()

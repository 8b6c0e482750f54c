#!/usr/bin/env python3
"""A cluster for the tests: the part of Kubernetes' API that wick speaks, with controllers that really run programs.

Objects, lists, watches, logs and errors are those of the API conventions: resource versions that grow, 409 for a name
that is taken, 410 for a version that is forgotten, Status objects with a reason.  Pods of Jobs, JobSets, MPIJobs and
Volcano Jobs are processes of this machine: $(NAME) and $$ are replaced as a kubelet does, exit codes, signals and
termination messages come from the process.

    server.py DIRECTORY          writes DIRECTORY/{ca.crt,config,...} and then DIRECTORY/ready; ends with its stdin

POST /faults {"busy": 2}        the next two requests get 429 with Retry-After
             {"deaf": 1}        the next watch ends in the middle of an event
             {"forget": 1}      the next watch is told that its version is too old
             {"hang_up": 1}     the next followed log breaks off after its first line
             {"lose": 1}        the answer to the next creation is lost
"""
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import base64
import http.server
import urllib.parse

from controllers import Controllers

TOKEN = "the-token-of-the-tests"


class Store:
    """Objects by path, and the history that watches read."""

    def __init__(self):
        self.changed = threading.Condition(threading.RLock())
        self.objects, self.events, self.version, self.oldest = {}, [], 100, 100

    def put(self, path, value, kind):
        with self.changed:
            self.version += 1
            value["metadata"]["resourceVersion"] = str(self.version)
            self.objects[path] = value
            self.events.append((self.version, kind, path, json.loads(json.dumps(value))))
            self.changed.notify_all()

    def remove(self, path):
        with self.changed:
            value = self.objects.pop(path, None)
            if value:
                self.version += 1
                self.events.append((self.version, "DELETED", path, value))
                self.changed.notify_all()
            return value

    def update(self, path, change):
        """Apply a function to an object, if it is there."""
        with self.changed:
            if path in self.objects:
                value = json.loads(json.dumps(self.objects[path]))
                change(value)
                self.put(path, value, "MODIFIED")

    def select(self, folder, selector):
        wanted = dict(part.split("=", 1) for part in selector.split(",") if part)
        def fits(value):
            labels = value["metadata"].get("labels", {})
            return all(labels.get(key) == text for key, text in wanted.items())
        return fits, [v for p, v in sorted(self.objects.items()) if p.rsplit("/", 1)[0] == folder and fits(v)]


def merge(target, patch):
    """RFC 7386."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, form, *words):
        with open(os.path.join(self.server.directory, "requests"), "a") as out:
            print(self.command, self.path, *words[1:2], file=out)

    def answer(self, code, value, headers=()):
        body = (json.dumps(value) + "\n").encode()
        self.send_response(code)
        for name, text in (("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers):
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, code, reason, message, headers=()):
        self.answer(code, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                           "message": message, "reason": reason, "code": code}, headers)

    def fault(self, name):
        with self.server.store.changed:
            left = self.server.faults.get(name, 0)
            self.server.faults[name] = max(0, left - 1)
            return left > 0

    def known(self):
        if self.headers.get("Authorization") == "Bearer " + TOKEN:
            return True
        basic = "Basic " + base64.b64encode(b"user:word").decode()
        return self.headers.get("Authorization") == basic or bool(self.connection.getpeercert())

    def handle_call(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        if url.path == "/faults":
            self.server.faults.update(body)
            return self.answer(200, {})
        if not self.known():
            return self.refuse(401, "Unauthorized", "Unauthorized")
        if self.fault("busy"):
            return self.refuse(429, "TooManyRequests", "too many requests", [("Retry-After", "1")])
        if url.path.endswith("/log"):
            return self.log(url.path[:-4], query)
        return getattr(self, "do_" + self.command.lower() + "_call")(url.path, query, body)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_call

    def missing(self, path):
        plural, name = path.split("/")[-2:]
        self.refuse(404, "NotFound", f'{plural} "{name}" not found')

    def do_get_call(self, path, query, _):
        store = self.server.store
        if path in store.objects:
            return self.answer(200, store.objects[path])
        if path.split("/")[-3] == "namespaces":
            return self.watch(path, query) if query.get("watch") else self.list(path, query)
        return self.missing(path)

    def list(self, folder, query):
        store = self.server.store
        with store.changed:
            items = store.select(folder, query.get("labelSelector", ""))[1]
            self.answer(200, {"kind": "List", "metadata": {"resourceVersion": str(store.version)}, "items": items})

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def stream(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def watch(self, folder, query):
        store = self.server.store
        since = int(query.get("resourceVersion") or 0)
        fits = store.select(folder, query.get("labelSelector", ""))[0]
        forgotten = self.fault("forget")
        self.stream()
        if forgotten:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            self.chunk(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return self.chunk(b"")
        end = time.time() + min(float(query.get("timeoutSeconds", 300)), 5)
        while time.time() < end:
            with store.changed:
                news = [e for e in store.events if e[0] > since and e[2].rsplit("/", 1)[0] == folder and fits(e[3])]
                if not news:
                    store.changed.wait(0.2)
            for version, kind, _, value in news:
                line = json.dumps({"type": kind, "object": value}).encode() + b"\n"
                if self.fault("deaf"):
                    self.chunk(line[: len(line) // 2])
                    return self.hang_up()
                self.chunk(line)
                since = version
        mark = {"kind": "Job", "metadata": {"resourceVersion": str(since)}}
        self.chunk(json.dumps({"type": "BOOKMARK", "object": mark}).encode() + b"\n")
        self.chunk(b"")

    def do_post_call(self, folder, query, body):
        store, name = self.server.store, body["metadata"].get("name")
        if not name:
            name = body["metadata"]["generateName"] + os.urandom(3).hex()
            body["metadata"]["name"] = name
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) or len(name) > 63:
            return self.refuse(422, "Invalid", f"metadata.name: Invalid value: {name!r}")
        problem = self.server.controllers.check(body)
        if problem:
            return self.refuse(422, "Invalid", f'{body["kind"]} "{name}" is invalid: {problem}')
        path = folder + "/" + name
        with open(os.path.join(self.server.directory, "submitted"), "a") as out:
            print(json.dumps(body), file=out)
        with store.changed:
            if path in store.objects:
                return self.refuse(409, "AlreadyExists", f'{folder.rsplit("/", 1)[1]} "{name}" already exists')
            body["metadata"].update(uid=os.urandom(8).hex(), creationTimestamp=now())
            for key, text in body.pop("stringData", {}).items():
                body.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()
            if query.get("dryRun") != "All":
                store.put(path, body, "ADDED")
        if query.get("dryRun") != "All":
            self.server.controllers.created(path, body)
            if self.fault("lose"):
                return self.hang_up()
        self.answer(201, body)

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def do_patch_call(self, path, _, body):
        if path not in self.server.store.objects:
            return self.missing(path)
        self.server.store.update(path, lambda value: merge(value, body))
        self.server.controllers.patched(path)
        self.answer(200, self.server.store.objects[path])

    def do_delete_call(self, path, _, __):
        value = self.server.store.remove(path)
        if not value:
            return self.missing(path)
        self.server.controllers.deleted(path, value)
        self.answer(200, {"kind": "Status", "status": "Success"})

    def log(self, path, query):
        pod = self.server.controllers.pods.get(path)
        if not pod:
            return self.missing(path)
        if query.get("container") != pod.container["name"]:
            return self.refuse(400, "BadRequest", f'container {query.get("container")} is not valid for pod')
        if not pod.started:
            return self.refuse(400, "BadRequest", f'container "{pod.container["name"]}" in pod is waiting to start')
        self.stream()
        place, hang_up = 0, query.get("follow") == "true" and self.fault("hang_up")
        while True:
            ended, lines = pod.ended, pod.lines[place:]
            place += len(lines)
            for when, text in lines:
                if when[:19] < query.get("sinceTime", "")[:19]: # whole seconds
                    continue
                self.chunk((when.encode() + b" " if query.get("timestamps") == "true" else b"") + text)
                if hang_up:
                    return self.hang_up()
            if ended and not pod.lines[place:] or query.get("follow") != "true":
                break
            time.sleep(0.02)
        self.chunk(b"")


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def certificates(directory):
    """An authority, the server's and a client's certificate."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")
    for name in ("server", "client"):
        openssl("req", *curve, "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".csr")
        with open(os.path.join(directory, "ext"), "w") as out:
            out.write("subjectAltName=IP:127.0.0.1,DNS:cluster.test\n")
        openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "ext", "-out", name + ".crt")


def main():
    directory = sys.argv[1]
    certificates(directory)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(directory, "server.crt"), os.path.join(directory, "server.key"))
    context.load_verify_locations(os.path.join(directory, "ca.crt"))
    context.verify_mode = ssl.CERT_OPTIONAL
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.directory, server.store, server.faults = directory, Store(), {}
    server.controllers = Controllers(server.store, directory)
    server.daemon_threads = True
    with open(os.path.join(directory, "port.tmp"), "w") as out:
        out.write(str(server.server_address[1]))
    os.rename(os.path.join(directory, "port.tmp"), os.path.join(directory, "port"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        sys.stdin.read()
    finally:
        server.controllers.stop()


main()

"""A server that registers models as TorchServe's management API does (pytorch/serve, docs/management_api.md).

It fetches the archive, sees that it is a zip with MAR-INF/MANIFEST.json, and answers with TorchServe's words and statuses:
200 registered, 400 for an archive that is none, 404 where it cannot be fetched, 409 for a name that is taken.

    python3 torchserve.py PORTFILE LOG      # its port to PORTFILE once it listens; each request a line in LOG
"""

import http.server
import io
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile

models = {}


def register(query):
    """(status, code-and-message object) for POST /models"""
    if "url" not in query:
        return 400, {"code": 400, "type": "BadRequestException", "message": "Parameter url is required."}
    url = query["url"][0]
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            archive = zipfile.ZipFile(io.BytesIO(reply.read()))
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
    except urllib.error.URLError as error:
        return 404, {"code": 404, "type": "ModelNotFoundException", "message": f"Failed to download archive: {url}: {error}"}
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        return 400, {"code": 400, "type": "InvalidModelException", "message": f"Invalid archive: {error}"}
    name = query.get("model_name", [manifest["model"]["modelName"]])[0]
    if name in models:
        text = f"Model version 1.0 is already registered for model {name}"
        return 409, {"code": 409, "type": "ConflictStatusException", "message": text}
    models[name] = query
    workers = query.get("initial_workers", ["0"])[0]
    return 200, {"status": f'Model "{name}" Version: 1.0 registered with {workers} initial workers.'}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open(sys.argv[2], "a", encoding="utf-8") as log:
            log.write(self.path + "\n")
        parts = urllib.parse.urlsplit(self.path)
        status, answer = register(urllib.parse.parse_qs(parts.query)) if parts.path == "/models" else (405, {})
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1] + ".new", "w", encoding="utf-8") as file:
    file.write(str(server.server_address[1]))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()

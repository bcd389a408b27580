"""Listens to entries and writes down each event before it says that it has it."""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

greeting = json.loads(sys.stdin.readline())
heard = Path(greeting["workingDirectory"]) / "heard.jsonl"
refusals = Path(greeting["workingDirectory"]) / "refusals"


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, heard.read_bytes() if heard.exists() else b"")

    def do_POST(self):
        lines = self.rfile.read(int(self.headers["Content-Length"]))
        refused = len(refusals.read_bytes()) if refusals.exists() else 0
        if refused < greeting["settings"]["refusals"]:
            with refusals.open("ab") as file:
                file.write(b"x")
            self.answer(500)
            return
        with heard.open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        self.answer(200)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.read()

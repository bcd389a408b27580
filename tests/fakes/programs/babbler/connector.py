"""Talks a good deal before it announces itself; `noise_lines` says how much."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"babbler"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


greeting = json.loads(sys.stdin.readline())
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
for number in range(greeting["settings"].get("noise_lines", 20)):
    print(f"babble {number}")
print("[not json, though it begins like it")
print("{neither is this")
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.read()

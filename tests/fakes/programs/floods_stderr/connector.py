"""Writes to stderr as fast as it can while it serves."""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"floods-stderr"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def flood():
    line = b"all work and no play makes a dull connector\n" * 200
    while True:
        os.write(2, line)


greeting = json.loads(sys.stdin.readline())
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
threading.Thread(target=flood, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.read()

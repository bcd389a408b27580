"""Takes `megabytes` of memory once it is asked, and keeps them."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

eaten = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        eaten.append(b"x" * (greeting["settings"].get("megabytes", 100) * 1024 * 1024))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


greeting = json.loads(sys.stdin.readline())
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.read()

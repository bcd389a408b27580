"""Sends whoever asks to its own port, to localhost, or far away."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        port = self.server.server_port
        places = {
            "/own": f"http://127.0.0.1:{port}/there",
            "/localhost": f"http://localhost:{port + 1}/there",
            "/far": "https://example.org/",
        }
        self.send_response(302)
        self.send_header("Location", places.get(self.path, "/there"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


json.loads(sys.stdin.readline())
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.read()

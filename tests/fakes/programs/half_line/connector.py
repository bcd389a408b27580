"""Announces itself in two writes with a pause between them."""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"half-line"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


greeting = json.loads(sys.stdin.readline())
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
line = json.dumps({"port": server.server_port})
sys.stdout.write(line[:5])
sys.stdout.flush()
time.sleep(0.2)
sys.stdout.write(line[5:] + "\n")
sys.stdout.flush()
sys.stdin.read()

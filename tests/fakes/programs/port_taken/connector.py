"""Finds the suggested port in use, takes another one, and answers with both."""

import json
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"suggested": suggested, "chosen": server.server_port}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    allow_reuse_address = False


suggested = json.loads(sys.stdin.readline())["port"]
# Whoever was quicker: it has the port, and answers nobody.
holder = socket.socket()
holder.bind(("127.0.0.1", suggested))
holder.listen()
try:
    server = Server(("127.0.0.1", suggested), Handler)
except OSError:
    server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.read()

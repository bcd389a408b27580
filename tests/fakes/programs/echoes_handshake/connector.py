"""Repeats its greeting everywhere: as its announcement, on stderr, and on stdout afterwards."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"echoes-handshake"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


greeting = json.loads(sys.stdin.readline())
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
greeting["port"] = server.server_port
print("I was told", json.dumps(greeting), file=sys.stderr)
print("as lines:", json.dumps(greeting, indent=1), file=sys.stderr)
print(json.dumps(greeting), flush=True)
print("and once more", json.dumps(greeting), flush=True)
print("my token is", greeting["token"], flush=True)
print("goodnight", flush=True)
sys.stdin.read()

"""Does not mind the end of its stdin; leaves its pid in its folder."""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"ignores-eof"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


greeting = json.loads(sys.stdin.readline())
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
(Path(greeting["workingDirectory"]) / "child.pid").write_text(str(os.getpid()))
print(json.dumps({"port": server.server_port}), flush=True)
while True:
    time.sleep(3600)

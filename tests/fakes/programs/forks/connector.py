"""Starts a grandchild that leaves its process group, forgets its parent and ignores SIGTERM."""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"forks"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def wander_off(place):
    """A grandchild whose parent ends at once; its pid is left at `place`."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            for descriptor in (0, 1, 2):
                os.close(descriptor)
            place.with_suffix(".new").write_text(str(os.getpid()))
            place.with_suffix(".new").rename(place)
            while True:
                time.sleep(3600)
        os._exit(0)
    os.wait()


greeting = json.loads(sys.stdin.readline())
place = Path(greeting["workingDirectory"]) / "grandchild.pid"
wander_off(place)
while not place.exists():
    time.sleep(0.01)
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.read()

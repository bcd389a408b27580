"""Asks the core's socket for an owner's token: itself, by a forked grandchild, and by one that it left behind."""

import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

greeting = json.loads(sys.stdin.readline())
own = Path(greeting["workingDirectory"])


def ask():
    """What the core's socket answers, as it came."""
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(10)
        door.connect(str(own.parent / "core.sock"))
        door.sendall(b'{"op": "ticket"}\n')
        return door.makefile("rb").readline().decode()


def wander_off(place, wait):
    """A grandchild whose parent ends at once asks when `wait` returns; its pid and the answer are left at `place`."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            leave(str(os.getpid()), place.with_suffix(".pid"))
            try:
                wait()
                answer = ask()
            except OSError as err:
                answer = json.dumps({"error": str(err)})
            leave(answer, place)
        os._exit(0)
    os.wait()


def leave(text, place):
    """Write a file that is there as a whole or not at all."""
    place.with_suffix(".new").write_text(text)
    place.with_suffix(".new").rename(place)


def until_the_connector_is_gone(connector):
    """Return when somebody else has become the parent of this grandchild."""
    while os.getppid() == connector:
        time.sleep(0.001)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.endswith("/itself"):
            self._say(ask())
        elif self.path.endswith("/grandchild"):
            place = own / "grandchild.json"
            place.unlink(missing_ok=True)
            parent = os.getpid()
            # Not before its own parent is gone and it has been handed on.
            wander_off(place, lambda: _until(lambda: os.getppid() == parent))
            _until(place.exists)
            self._say(place.read_text())
        else:
            connector = os.getpid()
            wander_off(own / "orphan.json", lambda: until_the_connector_is_gone(connector))
            _until((own / "orphan.pid").exists)
            self._say("{}")
            os._exit(0)

    def _say(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *args):
        pass


def _until(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.read()

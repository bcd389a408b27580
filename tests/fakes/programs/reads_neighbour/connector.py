"""Tries what a connector must not: answers with the names of those attempts that succeeded."""

import json
import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

greeting = json.loads(sys.stdin.readline())
own = Path(greeting["workingDirectory"])
me = own.parent
core = greeting["corePid"]
neighbour = me / greeting["settings"].get("neighbour", "neighbour")


def connect():
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(neighbour / "store.sock"))


def connect_abstract():
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(chr(0) + greeting["settings"]["abstract"])


ATTEMPTS = {
    "list Me": lambda: os.listdir(me),
    "list neighbour": lambda: os.listdir(neighbour),
    "read neighbour": lambda: (neighbour / "secret.txt").read_text(),
    "write neighbour": lambda: (neighbour / "planted.txt").write_text("x"),
    "truncate neighbour": lambda: os.truncate(neighbour / "secret.txt", 0),
    "remove neighbour": lambda: (neighbour / "secret.txt").unlink(),
    "link to neighbour": lambda: (own / "link").symlink_to(neighbour / "secret.txt"),
    "hard link neighbour": lambda: os.link(neighbour / "secret.txt", own / "hard"),
    "make a pipe": lambda: os.mkfifo(own / "pipe"),
    "connect to neighbour": connect,
    "connect to an abstract socket": connect_abstract,
    "read the core's environment": lambda: Path(f"/proc/{core}/environ").read_bytes(),
    "read the core's memory map": lambda: Path(f"/proc/{core}/maps").read_bytes(),
    "list the core's files": lambda: os.listdir(f"/proc/{core}/fd"),
    "signal the core": lambda: os.kill(core, 0),
    "signal the neighbour": lambda: os.kill(greeting["settings"]["neighbour_pid"], 0),
    "read Me/key": lambda: (me / "key").read_bytes(),
    "read Me/locker.json": lambda: (me / "locker.json").read_bytes(),
    "read the logs": lambda: os.listdir(me / "logs"),
    "list home": lambda: os.listdir(Path.home()),
    "list /tmp": lambda: os.listdir("/tmp"),
    "read shadow": lambda: Path("/etc/shadow").read_bytes(),
    "write own source": lambda: (Path(__file__).parent / "planted.py").write_text("x"),
    "write own folder": lambda: (own / "mine.txt").write_text("x"),
    "read own folder": lambda: os.listdir(own),
    "read own source": lambda: Path(__file__).read_text(),
    "read certificates": lambda: os.listdir("/etc/ssl"),
}


def attempt():
    succeeded = []
    for name, deed in ATTEMPTS.items():
        try:
            deed()
        except (OSError, KeyError):
            continue
        succeeded.append(name)
    return succeeded


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(attempt()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.read()

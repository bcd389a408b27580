"""Answers with its environment, arguments, folder, limits and open descriptors."""

import json
import os
import resource
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


DESCRIPTORS = [number for number in range(256) if is_open(number)]


def report():
    return {
        "environment": dict(os.environ),
        "argv": sys.argv,
        "cwd": os.getcwd(),
        "path": sys.path[:2],
        "temporary": tempfile.gettempdir(),
        "core_bytes_max": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "open_files_max": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "descriptors": DESCRIPTORS,
        "main": Path(sys.modules["__main__"].__file__).name,
        "session": os.getsid(0) == os.getpid(),
        "threads": threading.active_count(),
    }


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(report()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


greeting = json.loads(sys.stdin.readline())
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.read()

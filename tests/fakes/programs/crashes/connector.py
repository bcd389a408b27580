"""Announces itself, then crashes as soon as it is asked for anything."""

import json
import os
import socket
import sys

sys.stdin.readline()
server = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"port": server.getsockname()[1]}), flush=True)
server.accept()
print("asked, so I crash", file=sys.stderr, flush=True)
os._exit(7)

"""Announces a port on which nobody listens."""

import json
import socket
import sys

sys.stdin.readline()
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
print(json.dumps({"port": port}), flush=True)
sys.stdin.read()

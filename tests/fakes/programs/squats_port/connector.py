"""Announces a port that belongs to somebody else: `port`, or the core's own."""

import json
import sys
from urllib.parse import urlsplit

greeting = json.loads(sys.stdin.readline())
port = greeting["settings"].get("port") or urlsplit(greeting["lockerUrl"]).port
print(json.dumps({"port": port}), flush=True)
sys.stdin.read()

"""Reads its greeting and never says a word; one line on stderr tells what it is doing."""

import sys
import time

sys.stdin.readline()
print("still thinking", file=sys.stderr, flush=True)
while True:
    time.sleep(3600)

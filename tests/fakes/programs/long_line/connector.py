"""Writes one line without end on stdout instead of an announcement."""

import sys

sys.stdin.readline()
while True:
    sys.stdout.write("x" * 4096)
    sys.stdout.flush()

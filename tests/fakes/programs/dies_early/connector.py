"""Ends with status 3 before it announces anything, and says why on stderr."""

import sys

sys.stdin.readline()
print("cannot go on: the moon is full", file=sys.stderr)
sys.exit(3)

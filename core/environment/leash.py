"""Runs a Python program that ends with whoever started it: `leash.py <path> …`, or `leash.py -m <module> …`.

Its stdin is a pipe that only its parent holds and nobody writes to: the pipe's end is the parent's end, a kill
included, on every system and from whatever thread it was started. It stands for itself, in a Python that has none of
Locker's packages.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading

ENDED_WITH_PARENT = 1


def main(words: list[str]) -> None:
    """Run the program that the words name, with the rest as its own."""
    threading.Thread(target=_end_with_parent, args=(sys.stdin.fileno(),), name="leash", daemon=True).start()
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def _end_with_parent(descriptor: int) -> None:
    while os.read(descriptor, 1024):
        pass
    # At once and without a word: nobody is there to hear it, and what is half made is swept at the next start.
    os._exit(ENDED_WITH_PARENT)


if __name__ == "__main__":
    main(sys.argv[1:])

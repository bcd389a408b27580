"""Moments inside other processes: names with times, written to memory that core, warm parent and child share.

A mark costs about a microsecond and no system call, so that what is measured stays as it is. The memory is a file
mapped before a child is forked: it stays reachable behind the sandbox and after every descriptor is closed.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import mmap
import os
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "BENCH_MARKS"
SHELF_BYTES = 4 * 1024 * 1024
_COUNT, _MARK = struct.Struct("=q"), struct.Struct("=48sq")


@dataclass(frozen=True)
class Mark:
    """A moment in one of the processes."""

    at_s: float
    who: str
    name: str


class Shelf:
    """Where one process, or one line of processes after each other, puts its marks."""

    def __init__(self, folder: Path, who: str) -> None:
        self.who = who
        self._lock = threading.Lock()
        with open(folder / f"{who}.marks", "a+b") as file:
            file.truncate(SHELF_BYTES)
            self._memory = mmap.mmap(file.fileno(), SHELF_BYTES)

    def put(self, name: str) -> None:
        """Note this moment; from any thread."""
        with self._lock:
            (count,) = _COUNT.unpack_from(self._memory, 0)
            place = _COUNT.size + count * _MARK.size
            if place + _MARK.size <= SHELF_BYTES:
                _MARK.pack_into(self._memory, place, name.encode(), time.perf_counter_ns())
                _COUNT.pack_into(self._memory, 0, count + 1)

    def read(self) -> list[Mark]:
        """All marks, in order."""
        (count,) = _COUNT.unpack_from(self._memory, 0)
        found = []
        for index in range(count):
            name, at_ns = _MARK.unpack_from(self._memory, _COUNT.size + index * _MARK.size)
            found.append(Mark(at_ns / 1e9, self.who, name.rstrip(b"\0").decode()))
        return found


def shelf_of(who: str) -> Shelf:
    """This process's shelf in the folder that the bench named."""
    return Shelf(Path(os.environ[VARIABLE]), who)


def watch(shelf: Shelf, module: str, name: str) -> None:
    """Have `module.name`, a function or a class's method, marked at its begin (`>`) and end (`<`).

    A name that is not there any more is passed over: the step before then reaches to the next mark.
    """
    holder: Any = importlib.import_module(module)
    *path, last = name.split(".")
    try:
        for part in path:
            holder = getattr(holder, part)
        function = getattr(holder, last)
    except AttributeError:
        return
    is_bound = isinstance(inspect.getattr_static(holder, last), (classmethod, staticmethod))
    watched = _watched(shelf, function, name)
    setattr(holder, last, staticmethod(watched) if is_bound else watched)


def _watched(shelf: Shelf, function: Any, name: str) -> Any:
    begin, end = f">{name}", f"<{name}"
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def waited(*args: Any, **named: Any) -> Any:
            shelf.put(begin)
            try:
                return await function(*args, **named)
            finally:
                shelf.put(end)

        return waited

    @functools.wraps(function)
    def called(*args: Any, **named: Any) -> Any:
        shelf.put(begin)
        try:
            return function(*args, **named)
        finally:
            shelf.put(end)

    return called

"""Pipes of a child on the loop: read as bytes come, written without waiting for a reader.

Where the loop cannot watch a pipe (Windows) a thread reads it and hands the bytes to the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable

CHUNK_BYTES = 64 * 1024
BYTES_PER_S_MAX = 512 * 1024
# Each waking counts as so many bytes at least, so that a flood of single letters is one too.
READ_COST_BYTES = 1024
BURST_S = 0.25
WATCHABLE = sys.platform != "win32"


class Inlet:
    """The reading end of one pipe: `on_bytes` gets each piece. Owned by the loop; it closes the descriptor.

    A child that floods is read at BYTES_PER_S_MAX and otherwise left to wait for room in its pipe.
    """

    def __init__(self, descriptor: int, *, on_bytes: Callable[[bytes], None], watchable: bool = WATCHABLE) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._on_bytes = on_bytes
        self._watchable = watchable
        self._timer: asyncio.TimerHandle | None = None
        self._paid_until = 0.0
        self.is_open = True
        if watchable:
            os.set_blocking(descriptor, False)
            self._loop.add_reader(descriptor, self._read)
        else:
            threading.Thread(target=self._read_in_thread, name="pipe", daemon=True).start()

    def close(self) -> None:
        """Stop reading; bytes not yet read are lost."""
        if not self.is_open:
            return
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
        if self._watchable:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)

    def drain(self) -> None:
        """Take what already lies in the pipe, up to one chunk."""
        if self.is_open and self._watchable:
            self._take()

    def _read(self) -> None:
        taken = self._take()
        now = self._loop.time()
        self._paid_until = max(now, self._paid_until) + max(taken, READ_COST_BYTES) / BYTES_PER_S_MAX
        if self._paid_until - now > BURST_S and self.is_open:
            self._loop.remove_reader(self._descriptor)
            self._timer = self._loop.call_at(self._paid_until, self._resume)

    def _resume(self) -> None:
        self._timer = None
        if self.is_open:
            self._loop.add_reader(self._descriptor, self._read)

    def _take(self) -> int:
        try:
            data = os.read(self._descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if data:
            self._on_bytes(data)
        else:
            self.close()
        return len(data)

    def _read_in_thread(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the loop is closed, so nobody listens.
            while self.is_open:
                data = os.read(self._descriptor, CHUNK_BYTES)
                if not data:
                    break
                self._loop.call_soon_threadsafe(self._hand_over, data)
                time.sleep(max(len(data), READ_COST_BYTES) / BYTES_PER_S_MAX)
            self._loop.call_soon_threadsafe(self.close)
        os.close(self._descriptor)

    def _hand_over(self, data: bytes) -> None:
        if self.is_open:
            self._on_bytes(data)


async def pour(descriptor: int, data: bytes) -> None:
    """Write all of `data`; returns early when nobody reads any more. The descriptor stays open."""
    if not WATCHABLE:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(os.write, descriptor, data)
        return
    os.set_blocking(descriptor, False)
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            await _writable(descriptor)
        except OSError:
            return


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)

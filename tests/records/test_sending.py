"""An answer on its way out: what it is made of is let go, whether it is told, cut short or wanted no more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from core.model.errors import FileDamaged
from core.records import Answer, send_answer

WAIT_S = 10.0


class Pieces(Iterator[bytes]):
    """One piece that is made when the test says so; it notes a close that comes while it is being made."""

    def __init__(self, *, fault: Exception | None = None) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.is_being_made = False
        self.closed: list[str] = []
        self._fault = fault
        self._number = 0

    def __next__(self) -> bytes:
        if self._fault is not None:
            raise self._fault
        self._number += 1
        if self._number == 1:
            return b"first"
        self.is_being_made = True
        self.begun.set()
        assert self.go_on.wait(WAIT_S)
        self.is_being_made = False
        return b"later"

    def close(self) -> None:
        self.closed.append("while it is read" if self.is_being_made else "at rest")


async def _send(body: Iterator[bytes], *, gone: asyncio.Event) -> list[Any]:
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    with ThreadPoolExecutor(1) as threads:
        await send_answer(Answer(body=body), is_head=False, receive=receive, send=send, threads=threads)
    return sent


def test_what_fails_at_its_first_piece_is_told_and_let_go() -> None:
    """Else each request for a damaged file would keep it open."""
    pieces = Pieces(fault=FileDamaged("file ab is not what it says"))

    sent = asyncio.run(_send(pieces, gone=asyncio.Event()))

    assert 500 == sent[0]["status"]
    assert b"file ab is not what it says" in sent[1]["body"]
    assert ["at rest"] == pieces.closed


def test_a_reader_that_leaves_does_not_have_it_closed_under_the_thread_that_reads_it() -> None:
    """The piece that is being made is waited for, then all is let go."""
    pieces = Pieces()

    async def leave() -> None:
        gone = asyncio.Event()
        sending = asyncio.ensure_future(_send(pieces, gone=gone))
        assert await asyncio.to_thread(pieces.begun.wait, WAIT_S)
        gone.set()
        await asyncio.wait({sending}, timeout=0.1)
        pieces.go_on.set()
        await asyncio.wait_for(sending, WAIT_S)

    asyncio.run(leave())

    assert ["at rest"] == pieces.closed

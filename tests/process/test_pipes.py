"""Reading and writing a child's pipes on the loop."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from core.process.pipes import BURST_S, BYTES_PER_S_MAX, CHUNK_BYTES, READ_COST_BYTES, Inlet, pour
from tests.process.yard import until


@pytest.mark.parametrize("watchable", [True, False], ids=["loop", "thread"])
def test_bytes_come_in_order_to_the_end(watchable: bool) -> None:
    """By the loop, or by a thread where the loop cannot watch pipes: all bytes, then the end."""

    async def scenario() -> None:
        heard = bytearray()
        reading, writing = os.pipe()
        inlet = Inlet(reading, on_bytes=heard.extend, watchable=watchable)
        for number in range(100):
            os.write(writing, b"%d\n" % number)
            await asyncio.sleep(0)
        os.close(writing)
        await until(lambda: not inlet.is_open)

        assert b"".join(b"%d\n" % number for number in range(100)) == heard

    asyncio.run(scenario())


def test_drain_takes_what_lies_there() -> None:
    """What a dead child wrote last is read before the pipe is let go."""

    async def scenario() -> None:
        heard = bytearray()
        reading, writing = os.pipe()
        inlet = Inlet(reading, on_bytes=heard.extend)
        os.write(writing, b"last words")
        inlet.drain()
        inlet.close()
        inlet.close()
        inlet.drain()
        os.close(writing)

        assert b"last words" == heard

    asyncio.run(scenario())


@pytest.mark.parametrize("piece", [1, 100, CHUNK_BYTES])
def test_a_flood_is_read_at_a_set_rate(piece: int) -> None:
    """INV-10: a writer without end gets no more of the loop than its share, in large pieces or single letters."""

    async def scenario() -> None:
        heard: list[int] = []

        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        inlet = Inlet(reading, on_bytes=lambda data: heard.append(len(data)))
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < 0.5:
            with contextlib.suppress(BlockingIOError):
                os.write(writing, b"x" * piece)
            await asyncio.sleep(0)
        took_s = loop.time() - began
        inlet.close()
        os.close(writing)

        assert 0 < sum(heard) <= BYTES_PER_S_MAX * (took_s + BURST_S) + CHUNK_BYTES
        assert len(heard) <= (took_s + BURST_S) * BYTES_PER_S_MAX / READ_COST_BYTES + 1

    asyncio.run(scenario())


def test_pour_waits_for_room_and_minds_no_deaf_reader() -> None:
    """More than the pipe holds arrives once somebody reads; with nobody there, pouring ends."""

    async def scenario() -> None:
        reading, writing = os.pipe()
        heard = bytearray()
        data = os.urandom(4 * CHUNK_BYTES)
        pouring = asyncio.create_task(pour(writing, data))
        await asyncio.sleep(0)
        inlet = Inlet(reading, on_bytes=heard.extend)
        await pouring
        os.close(writing)
        await until(lambda: not inlet.is_open)
        gone, writing = os.pipe()
        os.close(gone)
        await pour(writing, b"to nobody")
        os.close(writing)

        assert data == heard

    asyncio.run(scenario())

"""A request's body: kept in memory, then in the spool, then refused; handed on as it comes when it may flow."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.gateway.buffer import Intake
from core.gateway.limits import GatewayLimits
from core.gateway.spool import Spool, SpoolFile, disk_error
from core.gateway.watch import Watch
from core.model.errors import BodyTooLarge, LockerError, StorageFull, TooBusy

MEMORY, WHOLE = 1000, 4000
LIMITS = GatewayLimits(body_memory_bytes=MEMORY, body_bytes_max=WHOLE, spool_bytes_total_max=5000)


class Client:
    """The server's `receive`, fed by a test; a client that says no more is still there."""

    def __init__(self, *pieces: bytes, is_whole: bool = True) -> None:
        self._messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": not is_whole or number < len(pieces) - 1}
            for number, piece in enumerate(pieces)
        ]
        self._more = asyncio.Event()
        self.asked = 0

    def say(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        self._more.set()

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        while not self._messages:
            self._more.clear()
            await self._more.wait()
        return self._messages.pop(0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, at most a few seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a condition of any kind
            await asyncio.sleep(0.001)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Bounded."""
    return asyncio.run(asyncio.wait_for(coroutine, 30))


async def all_of(intake: Intake) -> bytes:
    """The whole body."""
    data = await intake.first_piece()
    while piece := await intake.piece():
        data += piece
    return data


def intake_of(client: Client, watch: Watch, spool: Spool, limits: GatewayLimits = LIMITS) -> Intake:
    """An intake under test."""
    return Intake(client.receive, watch=watch, limits=limits, spool=spool, has_body=True)


@pytest.mark.parametrize(("size", "spooled"), [(MEMORY, 0), (MEMORY + 1, 1), (WHOLE, WHOLE - MEMORY)])
def test_memory_first_then_the_spool(tmp_path: Path, size: int, spooled: int) -> None:
    """Just at the bound nothing is spooled; one byte over goes to a file; the whole allowance is taken."""

    async def scenario() -> tuple[int, bytes, int]:
        spool = Spool(tmp_path / "spool", bytes_total_max=LIMITS.spool_bytes_total_max)
        body = os.urandom(size)
        pieces = [body[:MEMORY]] + [body[at : at + 700] for at in range(MEMORY, size, 700)]
        with Watch(asyncio.get_running_loop()) as watch:
            intake = intake_of(Client(*pieces), watch, spool)
            intake.begin()
            await until(lambda: intake.ended)
            taken = spool.taken_bytes
            seen = await all_of(intake)
            intake.close()
        assert seen == body and intake.is_drained
        return taken, seen, spool.taken_bytes

    taken, _, left = run(scenario())

    assert (spooled, 0) == (taken, left)
    assert [] == list((tmp_path / "spool").iterdir() if (tmp_path / "spool").exists() else [])


@pytest.mark.parametrize("flowing", [False, True])
def test_a_body_over_the_limit_ends_the_exchange(tmp_path: Path, flowing: bool) -> None:
    """Whether it is being kept or handed on: just over is refused, just at is not."""

    async def scenario(size: int) -> int:
        spool = Spool(tmp_path, bytes_total_max=10**6)
        with Watch(asyncio.get_running_loop()) as watch:
            intake = intake_of(Client(b"x" * (size - 1), b"x"), watch, spool)
            try:
                intake.begin()
                if not flowing:
                    await until(lambda: intake.ended)
                return len(await all_of(intake))
            finally:
                intake.close()

    assert WHOLE == run(scenario(WHOLE))
    with pytest.raises(BodyTooLarge):
        run(scenario(WHOLE + 1))


def test_a_full_spool_is_too_busy_and_is_given_back(tmp_path: Path) -> None:
    """The total over all requests is bound; what leaves makes room."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        spool = Spool(tmp_path, bytes_total_max=LIMITS.spool_bytes_total_max)
        with Watch(loop) as watch:
            first = intake_of(Client(b"x" * MEMORY, b"x" * 3000, is_whole=False), watch, spool)
            first.begin()
            await until(lambda: spool.taken_bytes == 3000)
            with pytest.raises(TooBusy), Watch(loop) as other:
                second = intake_of(Client(b"x" * MEMORY, b"x" * 2001), other, spool)
                second.begin()
                await asyncio.sleep(30)
            second.close()
            first.close()
            assert spool.taken_bytes == 0

    run(scenario())


def test_a_client_that_leaves_ends_the_exchange(tmp_path: Path) -> None:
    """Before its body is whole, and after."""

    async def scenario(is_whole: bool) -> bool:
        client = Client(b"abc", is_whole=is_whole)
        with Watch(asyncio.get_running_loop()) as watch:
            intake = intake_of(client, watch, Spool(tmp_path, bytes_total_max=100))
            intake.begin()
            await until(lambda: client.asked == 2)
            client.say({"type": "http.disconnect"})
            await asyncio.sleep(30)
        return watch.client_left

    assert run(scenario(True)) and run(scenario(False))


def test_a_flowing_body_is_read_no_faster_than_it_is_taken(tmp_path: Path) -> None:
    """Memory stays flat: the client is not asked for more while enough is held."""

    async def scenario() -> tuple[int, int]:
        client = Client(*[b"x" * 40_000] * 50)
        limits = GatewayLimits()
        with Watch(asyncio.get_running_loop()) as watch:
            intake = intake_of(client, watch, Spool(tmp_path, bytes_total_max=0), limits)
            first = await intake.first_piece()
            for _ in range(20):
                await asyncio.sleep(0)
            asked = client.asked
            size = len(first) + len(await all_of(intake))
            intake.close()
        return asked, size

    asked, size = run(scenario())

    assert asked <= 6
    assert size == 2_000_000


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 900), max_size=8), st.integers(0, 8))
def test_the_body_arrives_as_it_was_sent(sizes: list[int], kept: int) -> None:
    """Whatever its pieces, wherever the child's start falls between them."""

    async def scenario() -> None:
        folder = Path(os.environ.get("TMPDIR", "/tmp"))
        body = [os.urandom(size) for size in sizes] or [b""]
        client = Client(*body[:kept], is_whole=kept >= len(body))
        limits = GatewayLimits(body_memory_bytes=500, body_bytes_max=10**6)
        with Watch(asyncio.get_running_loop()) as watch:
            intake = intake_of(client, watch, Spool(folder, bytes_total_max=10**6), limits)
            intake.begin()
            await until(lambda: client.asked > len(body[:kept]))
            for number, piece in enumerate(body[kept:], kept):
                client.say({"type": "http.request", "body": piece, "more_body": number < len(body) - 1})
            seen = await all_of(intake)
            intake.close()

        assert b"".join(body) == seen

    run(scenario())


def test_a_file_closed_under_a_working_thread_stays_until_it_is_done(tmp_path: Path) -> None:
    """A descriptor given back too early could be another file's."""
    file = SpoolFile(tmp_path)
    file._lock.acquire()
    file.close()
    assert not file._file.closed
    file._release()

    assert file._file.closed
    file.append(b"x")
    assert file.read(0) == b""


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, TooBusy)]
)
def test_a_disk_that_refuses_is_told_by_its_kind(number: int, kind: type[LockerError]) -> None:
    """Full is full; anything else is tried again."""
    assert isinstance(disk_error(OSError(number, "x")), kind)


def test_a_spool_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Whoever takes the body hears of it as of any other trouble of the exchange."""

    class Failing(SpoolFile):
        def read(self, offset: int) -> bytes:
            raise OSError(errno.EIO, "input/output error")

    class Disk(Spool):
        def open(self) -> SpoolFile:
            return Failing(tmp_path)

    async def scenario() -> None:
        with Watch(asyncio.get_running_loop()) as watch:
            intake = intake_of(Client(b"x" * (MEMORY + 1)), watch, Disk(tmp_path, bytes_total_max=WHOLE))
            intake.begin()
            await until(lambda: intake.ended)
            with pytest.raises(TooBusy):
                await intake.piece()
            intake.close()

    run(scenario())


def test_a_spool_that_cannot_be_made_refuses_the_request(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "spool").write_text("in the way")

    with pytest.raises(TooBusy):
        Spool(tmp_path / "spool", bytes_total_max=10).open()

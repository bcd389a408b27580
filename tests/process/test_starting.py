"""From a request to a running child, and every way in which that can fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import uvloop

from core.model.errors import (
    Broken,
    ChildDied,
    ChildSilent,
    CoolingDown,
    HandshakeInvalid,
    KeyMissing,
    NotFound,
    Retry,
    RunMissing,
    ServiceDisabled,
    SettingsInvalid,
)
from core.model.handshake import EXIT_STORE_BUSY, LINE_BYTES_MAX
from core.process import Failed, Running, Stopped
from core.process.lifecycle import Starting
from tests.process.yard import BRISK, Yard, until

MakeYard = Callable[..., Yard]


def test_a_request_starts_the_child(make_yard: MakeYard) -> None:
    """The endpoint answers, and the state went from starting to running."""

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("obedient"))
            answer = await yard.get_json(endpoint, "/hello")
            state = yard.supervisor.state("obedient")

            assert {"name": "obedient", "pid": endpoint.pid, "path": "/hello"} == answer
            assert ["starting", "running"] == yard.states("obedient")
            assert isinstance(state, Running) and endpoint.port == state.port
            assert 1 == endpoint.generation

    asyncio.run(scenario())


def test_the_loop_of_the_core(make_yard: MakeYard) -> None:
    """On uvloop, which the core runs on: a start, an answer, a crash that is noticed, an orderly end."""

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("obedient"))
            answer = await yard.get_json(endpoint)
            crashing = await yard.supervisor.ensure_running(yard.add("crashes"))
            with pytest.raises(OSError):
                await yard.get(crashing)
            await until(lambda: isinstance(yard.supervisor.state("crashes"), Failed))
            await yard.supervisor.stop("obedient", reason="test")

            assert endpoint.pid == answer["pid"]
            assert isinstance(yard.supervisor.state("obedient"), Stopped)

    uvloop.run(scenario())


def test_many_callers_share_one_start(make_yard: MakeYard) -> None:
    """INV-04: a hundred callers at once get the same child; one that leaves ends nothing."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("slow", settings={"delay_s": 0.3})
            callers = [asyncio.create_task(yard.supervisor.ensure_running(name)) for _ in range(100)]
            await until(lambda: isinstance(yard.supervisor.state(name), Starting))
            callers.pop(0).cancel()
            endpoints = await asyncio.gather(*callers)

            assert 1 == len({(e.pid, e.generation) for e in endpoints})
            assert 1 == len(yard.greetings)
            assert ["starting", "running"] == yard.states(name)

    asyncio.run(scenario())


def test_silent_child(make_yard: MakeYard) -> None:
    """A child without a word is killed at its deadline; the error says what it last said on stderr."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("silent", start_timeout_s=0.5)
            began = time.monotonic()
            with pytest.raises(ChildSilent, match=r"within 0.5 s; its last words: still thinking"):
                await yard.supervisor.ensure_running(name)

            assert 0.5 <= time.monotonic() - began < 5
            assert isinstance(yard.supervisor.state(name), Failed)
            assert [] == _living()

    asyncio.run(scenario())


def test_dies_before_announce(make_yard: MakeYard) -> None:
    """All who wait get the reason at once, and the next request spawns afresh."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("dies_early")
            outcomes = await asyncio.gather(
                *(yard.supervisor.ensure_running(name) for _ in range(5)), return_exceptions=True
            )
            yard.add("obedient", service_id=name)
            endpoint = await yard.supervisor.ensure_running(name)

            assert {ChildDied} == {type(outcome) for outcome in outcomes}
            assert "exit status 3" in str(outcomes[0])
            assert "the moon is full" in str(outcomes[0])
            assert 2 == endpoint.generation

    asyncio.run(scenario())


def test_keeps_crashing_cools_down(make_yard: MakeYard) -> None:
    """Three crashes cost nothing; then starts wait, and Restart ends the waiting."""

    async def scenario() -> None:
        limits = replace(BRISK, backoff_first_s=1000.0, backoff_max_s=2000.0)
        async with make_yard(limits=limits) as yard:
            name = yard.add("dies_early")
            for _ in range(4):
                with pytest.raises(ChildDied):
                    await yard.supervisor.ensure_running(name)
            with pytest.raises(CoolingDown) as cooling:
                await yard.supervisor.ensure_running(name)
            yard.add("obedient", service_id=name)
            endpoint = await yard.supervisor.restart(name)

            assert cooling.value.retry_after_s is not None and 0 < cooling.value.retry_after_s <= 1000
            assert "exit status 3" in str(cooling.value)
            assert 5 == endpoint.generation

    asyncio.run(scenario())


def test_a_child_whose_store_is_busy_never_cools_down(make_yard: MakeYard, tmp_path: Path) -> None:
    """Nothing is wrong with it: whoever asks is told to come again, and it starts as soon as it can."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "connector.py").write_text(
        f"import sys\nsys.stdin.readline()\nprint('process 7 writes it', file=sys.stderr)\nsys.exit({EXIT_STORE_BUSY})"
    )

    async def scenario() -> None:
        async with make_yard(limits=replace(BRISK, backoff_first_s=1000.0, backoff_max_s=2000.0)) as yard:
            name = yard.add("busy", source=source)
            for _ in range(6):
                with pytest.raises(Retry, match=r"another process writes the store.*process 7 writes it") as told:
                    await yard.supervisor.ensure_running(name)
                assert (Retry, 5.0) == (type(told.value), told.value.retry_after_s)
            state = yard.supervisor.state(name)
            yard.add("obedient", service_id=name)
            await yard.supervisor.ensure_running(name)

            assert isinstance(state, Failed)
            assert ("retry", None) == (state.code, state.until)

    asyncio.run(scenario())


def test_run_command_missing(make_yard: MakeYard) -> None:
    """A command, a script or an interpreter that is not there is named; no process is started, none cools down."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("obedient", argv=("no-such-program", "x"))
            for _ in range(5):
                with pytest.raises(RunMissing, match="no-such-program"):
                    await yard.supervisor.ensure_running(name)
            assert "core | did not start: obedient: there is no command 'no-such-program'" in yard.log_text(name)
            yard.add("obedient", argv=("python", "absent.py"))
            with pytest.raises(RunMissing, match=r"absent\.py"):
                await yard.supervisor.ensure_running(name)
            yard.add("obedient", python="/nowhere/python")
            with pytest.raises(RunMissing, match="/nowhere/python"):
                await yard.supervisor.ensure_running(name)
            state = yard.supervisor.state(name)

            assert isinstance(state, Failed) and "run_missing" == state.code and state.until is None

    asyncio.run(scenario())


def test_command_that_cannot_be_executed(make_yard: MakeYard, tmp_path: Path) -> None:
    """A script whose interpreter is missing is a missing command, not a crash."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "start").write_text("#!/nowhere/interpreter\n")
    (source / "start").chmod(0o755)

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("broken", source=source, argv=("./start",))
            with pytest.raises(RunMissing):
                await yard.supervisor.ensure_running(name)

    asyncio.run(scenario())


def test_announcement_in_two_writes(make_yard: MakeYard) -> None:
    """A line that arrives in pieces is one line."""

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("half_line"))

            assert b"half-line" == await yard.get(endpoint)

    asyncio.run(scenario())


def test_noise_before_json(make_yard: MakeYard) -> None:
    """Talk before the announcement is logged and skipped."""

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("babbler", settings={"noise_lines": 30}))
            await yard.get(endpoint)

            assert "out | babble 29\n" in yard.log_text("babbler")
            assert "out | {neither is this\n" in yard.log_text("babbler")

    asyncio.run(scenario())


@pytest.mark.parametrize(("lines_max", "is_heard"), [(12, True), (11, False)])
def test_noise_is_bounded(make_yard: MakeYard, lines_max: int, is_heard: bool) -> None:
    """INV-10: as many lines as allowed pass; one more ends the child."""

    async def scenario() -> None:
        async with make_yard(limits=replace(BRISK, noise_lines_max=lines_max)) as yard:
            name = yard.add("babbler", settings={"noise_lines": 10})
            if is_heard:
                await yard.supervisor.ensure_running(name)
                return
            with pytest.raises(HandshakeInvalid, match="too much"):
                await yard.supervisor.ensure_running(name)
            assert [] == _living()

    asyncio.run(scenario())


def test_line_without_end(make_yard: MakeYard) -> None:
    """INV-10: a line past 64 KiB ends the child instead of filling the core."""

    async def scenario() -> None:
        async with make_yard() as yard:
            with pytest.raises(HandshakeInvalid, match="65536 bytes"):
                await yard.supervisor.ensure_running(yard.add("long_line"))
            assert [] == _living()

    asyncio.run(scenario())


def test_port_that_nobody_owns(make_yard: MakeYard) -> None:
    """A port on which the child does not listen is refused, and the child ended."""

    async def scenario() -> None:
        async with make_yard(limits=replace(BRISK, port_grace_s=0.1)) as yard:
            with pytest.raises(HandshakeInvalid, match="on which nobody listens"):
                await yard.supervisor.ensure_running(yard.add("wrong_port"))
            assert "core | did not start: wrong-port announced port" in yard.log_text("wrong-port")
            assert [] == _living()

    asyncio.run(scenario())


def test_port_of_a_neighbour(make_yard: MakeYard) -> None:
    """INV-11: a child cannot pass off a neighbour's port as its own."""

    async def scenario() -> None:
        async with make_yard(limits=replace(BRISK, port_grace_s=0.1)) as yard:
            neighbour = await yard.supervisor.ensure_running(yard.add("obedient"))
            with pytest.raises(HandshakeInvalid, match="another process listens"):
                await yard.supervisor.ensure_running(yard.add("squats_port", settings={"port": neighbour.port}))

            assert isinstance(yard.supervisor.state("obedient"), Running)

    asyncio.run(scenario())


def test_what_spec_for_refuses_starts_nothing(make_yard: MakeYard) -> None:
    """An unknown or disabled service is refused without a change of state."""

    async def scenario() -> None:
        async with make_yard() as yard:
            for error in (NotFound("no such service"), ServiceDisabled("switched off")):
                yard.refusals["obedient"] = error
                with pytest.raises(type(error)):
                    await yard.supervisor.ensure_running("obedient")

            yard.refusals.update({f"made-up-{n}": NotFound("no such service") for n in range(10)})
            for n in range(10):
                with pytest.raises(NotFound):
                    await yard.supervisor.ensure_running(f"made-up-{n}")

            assert [] == yard.moves
            assert not any(name.startswith("made-up") for name in yard.supervisor._charges)
            assert isinstance(yard.supervisor.state("obedient"), Stopped)

    asyncio.run(scenario())


def test_a_key_that_does_not_fit_is_no_crash(make_yard: MakeYard) -> None:
    """What the owner must mend fails the start with its own code and never cools down."""

    def without_key(port: int, token: str) -> object:
        raise KeyMissing("the key does not open auth.sealed")

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("obedient", greeting=without_key)
            for _ in range(6):
                with pytest.raises(KeyMissing):
                    await yard.supervisor.ensure_running(name)
            state = yard.supervisor.state(name)

            assert isinstance(state, Failed) and "key_missing" == state.code

    asyncio.run(scenario())


def test_an_unexpected_fault_is_contained(make_yard: MakeYard) -> None:
    """INV-09: a fault of ours in one start is told as such, without its text; the next start is another matter."""

    def faulty(port: int, token: str) -> object:
        raise ZeroDivisionError("a secret may stand here")

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("obedient", greeting=faulty)
            with pytest.raises(Broken, match="could not be supervised: ZeroDivisionError"):
                await yard.supervisor.ensure_running(name)
            yard.add("obedient")
            endpoint = await yard.supervisor.ensure_running(name)

            assert 1 == endpoint.generation
            assert ["starting", "failed", "starting", "running"] == yard.states(name)

    asyncio.run(scenario())


def test_a_greeting_has_a_bound(make_yard: MakeYard) -> None:
    """INV-10: settings that fill a greeting to its 64 KiB arrive; more are refused before anything is written."""

    async def scenario() -> None:
        async with make_yard() as yard:
            await yard.supervisor.ensure_running(yard.add("obedient", settings={"x": ""}))
            room = LINE_BYTES_MAX - len(yard.greetings[0].to_line())
            for size in (room, room + 1):
                await yard.supervisor.stop("obedient", reason="test")
                yard.add("obedient", settings={"x": "y" * size})
                if size == room:
                    await yard.supervisor.ensure_running("obedient")
                    continue
                with pytest.raises(SettingsInvalid, match="settings exceed"):
                    await yard.supervisor.ensure_running("obedient")

    asyncio.run(scenario())


def _living() -> list[int]:
    """Those of our descendants that run a fake program."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            cwd = process.cwd()
        except psutil.Error:
            continue
        if "/programs/" in cwd:
            found.append(process.pid)
    return found

"""The end of a child: asked for, forced, by itself; always with everything it started."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest

from core.model.errors import Retry, ServiceDisabled
from core.process import Endpoint, Failed, Running, Stopped, Stopping
from core.process.lifecycle import Starting
from tests.process.yard import BRISK, Yard, is_living, until

MakeYard = Callable[..., Yard]


def test_stop_ends_the_child_in_order(make_yard: MakeYard) -> None:
    """Its stdin ends, it has time to finish its work, and nothing of it is left."""

    async def scenario() -> None:
        async with make_yard(limits=replace(BRISK, stop_grace_s=5.0)) as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("exits_on_eof"))
            await yard.supervisor.stop("exits-on-eof", reason="switched off")

            assert "in order" == (yard.me / "exits-on-eof" / "ended.txt").read_text()
            assert Stopped(since=_since(yard, "exits-on-eof"), reason="switched off") == yard.supervisor.state(
                "exits-on-eof"
            )
            assert not psutil.pid_exists(endpoint.pid)
            assert "ended with exit status 0" == yard.supervisor.details("exits-on-eof").last_exit

    asyncio.run(scenario())


def test_deaf_child_is_killed_after_its_grace(make_yard: MakeYard) -> None:
    """A child that heeds neither end-of-file nor SIGTERM is ended by SIGKILL, not before its grace is over."""

    async def scenario() -> None:
        async with make_yard(limits=replace(BRISK, stop_grace_s=0.3)) as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("deaf_to_sigterm"))
            began = time.monotonic()
            await yard.supervisor.stop("deaf-to-sigterm", reason="test")

            assert 0.3 <= time.monotonic() - began < 3
            assert not psutil.pid_exists(endpoint.pid)
            assert "was ended by SIGKILL" == yard.supervisor.details("deaf-to-sigterm").last_exit

    asyncio.run(scenario())


def test_request_while_stopping(make_yard: MakeYard) -> None:
    """A request that meets a dying child waits for its end and gets a new one."""

    async def scenario() -> None:
        async with make_yard(limits=replace(BRISK, stop_grace_s=0.3)) as yard:
            name = yard.add("deaf_to_sigterm")
            first = await yard.supervisor.ensure_running(name)
            stopping = asyncio.create_task(yard.supervisor.stop(name, reason="test"))
            await until(lambda: isinstance(yard.supervisor.state(name), Stopping))
            second = await yard.supervisor.ensure_running(name)
            await stopping

            assert (1, 2) == (first.generation, second.generation)
            assert not psutil.pid_exists(first.pid)
            assert ["starting", "running", "stopping", "stopped", "starting", "running"] == yard.states(name)

    asyncio.run(scenario())


def test_request_while_a_dead_child_is_put_away(make_yard: MakeYard) -> None:
    """A request that comes after the child's end and before all it left is gone gets a new one, and no error."""

    async def scenario() -> None:
        async with make_yard() as yard, asyncio.timeout(10):
            name = yard.add("obedient")
            endpoint = await yard.supervisor.ensure_running(name)
            os.kill(endpoint.pid, signal.SIGKILL)
            while endpoint.generation == 1:
                await asyncio.sleep(0)
                endpoint = await yard.supervisor.ensure_running(name)

            assert ["starting", "running", "failed", "starting", "running"] == yard.states(name)

    asyncio.run(scenario())


def test_stop_while_starting(make_yard: MakeYard) -> None:
    """A stop overtakes a start; who waited is told why there is no next one, or gets it."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("silent")
            waiting = asyncio.create_task(yard.supervisor.ensure_running(name))
            await until(lambda: len(yard.greetings) == 1)
            yard.refusals[name] = ServiceDisabled("switched off")
            await yard.supervisor.stop(name, reason="switched off")
            with pytest.raises(ServiceDisabled):
                await waiting

            assert ["starting", "stopping", "stopped"] == yard.states(name)

    asyncio.run(scenario())


def test_a_start_that_is_stopped_again_and_again_gives_up(make_yard: MakeYard) -> None:
    """INV-10: the rounds of one request are counted."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("silent")
            waiting = asyncio.create_task(yard.supervisor.ensure_running(name))
            for _ in range(5):
                await until(lambda: isinstance(yard.supervisor.state(name), Starting))
                await yard.supervisor.stop(name, reason="test")
            with pytest.raises(Retry, match="stopped each time"):
                await waiting

    asyncio.run(scenario())


def test_two_stops_and_a_stop_of_nothing(make_yard: MakeYard) -> None:
    """Stopping twice at once is one stop; stopping what does not run is none."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("obedient")
            await yard.supervisor.stop("never-seen", reason="test")
            await yard.supervisor.ensure_running(name)
            await asyncio.gather(*(yard.supervisor.stop(name, reason="test") for _ in range(3)))
            await yard.supervisor.stop(name, reason="test")

            assert ["starting", "running", "stopping", "stopped"] == yard.states(name)

    asyncio.run(scenario())


def test_grandchildren_go_too(make_yard: MakeYard) -> None:
    """A grandchild that left the group, lost its parent and ignores SIGTERM is found and ended."""

    async def scenario() -> None:
        async with make_yard() as yard:
            await yard.supervisor.ensure_running(yard.add("forks"))
            grandchild = int((yard.me / "forks" / "grandchild.pid").read_text())
            was_alive = psutil.pid_exists(grandchild)
            await yard.supervisor.stop("forks", reason="test")

            assert was_alive
            assert not is_living(grandchild)

    asyncio.run(scenario())


def test_grandchildren_of_a_crashed_child_go_too(make_yard: MakeYard) -> None:
    """The same when the child itself dies first: it was seen on the rounds, or the warm parent inherits it."""

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("forks"))
            grandchild = int((yard.me / "forks" / "grandchild.pid").read_text())
            await asyncio.sleep(10 * BRISK.memory_watch_s)
            os.kill(endpoint.pid, signal.SIGKILL)
            await until(lambda: isinstance(yard.supervisor.state("forks"), Failed))
            await until(lambda: not is_living(grandchild))

    asyncio.run(scenario())


def test_what_a_dead_child_left_in_its_group_goes_too(make_yard: MakeYard) -> None:
    """A child killed from outside leaves a helper in its group: it is ended before the next start."""

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("shell_minimal"))
            await until(lambda: psutil.Process(endpoint.pid).children())
            helper = psutil.Process(endpoint.pid).children()[0].pid
            os.kill(endpoint.pid, signal.SIGKILL)
            await until(lambda: isinstance(yard.supervisor.state("shell-minimal"), Failed))

            assert not is_living(helper)

    asyncio.run(scenario())


def test_child_that_dies_is_failed_and_respawned(make_yard: MakeYard) -> None:
    """A crash while running is noticed at once, told with its last words, and mended by the next request."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("crashes")
            first = await yard.supervisor.ensure_running(name)
            with pytest.raises(OSError):
                await yard.get(first)
            await until(lambda: isinstance(yard.supervisor.state(name), Failed))
            state = yard.supervisor.state(name)
            second = await yard.supervisor.ensure_running(name)

            assert isinstance(state, Failed) and "child_died" == state.code
            assert "crashes ended with exit status 7; its last words: asked, so I crash" == state.detail
            assert 2 == second.generation

    asyncio.run(scenario())


def test_reported_dead_when_it_stopped_listening(make_yard: MakeYard) -> None:
    """A living child that closed its port is ended; a false report, or one about an earlier child, ends nothing."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("obedient")
            endpoint = await yard.supervisor.ensure_running(name)
            yard.supervisor.report_dead(endpoint)
            yard.supervisor.report_dead(replace(endpoint, generation=0))
            after_false_reports = yard.supervisor.state(name)
            closed = await _closed_port(yard)
            yard.supervisor.report_dead(closed)
            await until(lambda: isinstance(yard.supervisor.state("closes"), Stopped))

            assert isinstance(after_false_reports, Running)

    asyncio.run(scenario())


def test_shutdown_has_deadline(make_yard: MakeYard) -> None:
    """INV-05: closing ends all at once, the deaf ones and one already stopping included, within its deadline."""

    async def scenario() -> None:
        yard = make_yard(limits=replace(BRISK, stop_grace_s=60.0))
        async with yard:
            names = [yard.add("deaf_to_sigterm", service_id=f"deaf-{n}") for n in range(4)]
            names.append(yard.add("forks"))
            endpoints = await asyncio.gather(*(yard.supervisor.ensure_running(name) for name in names))
            slow_stop = asyncio.create_task(yard.supervisor.stop("deaf-0", reason="test"))
            starting = asyncio.create_task(yard.supervisor.ensure_running(yard.add("silent")))
            await until(lambda: isinstance(yard.supervisor.state("silent"), Starting))
            began = time.monotonic()
            await yard.supervisor.close(deadline_s=3.0)
            took_s = time.monotonic() - began
            await slow_stop
            with pytest.raises(Retry, match="shutting down"):
                await starting
            with pytest.raises(Retry, match="shutting down"):
                await yard.supervisor.ensure_running("forks")

            assert took_s < 3.0
            assert not any(psutil.pid_exists(endpoint.pid) for endpoint in endpoints)
            assert not is_living(int((yard.me / "forks" / "grandchild.pid").read_text()))

    asyncio.run(scenario())


def test_shutdown_right_after_a_spawn(make_yard: MakeYard) -> None:
    """Closing while a child is only just being made leaves nothing."""

    async def scenario() -> None:
        async with make_yard() as yard:
            waiting = asyncio.create_task(yard.supervisor.ensure_running(yard.add("ignores_eof")))
            await asyncio.sleep(0)
            await yard.supervisor.close(deadline_s=2.0)
            with pytest.raises(Retry):
                await waiting

            assert [] == [p for p in psutil.Process().children(recursive=True) if _runs_a_program(p)]

    asyncio.run(scenario())


async def _closed_port(yard: Yard) -> Endpoint:
    """The endpoint of a child that announced a port and closed it."""
    source = yard.me.parent / "closes"
    source.mkdir()
    (source / "connector.py").write_text(
        "import json, socket, sys\n"
        "sys.stdin.readline()\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "print(json.dumps({'port': server.getsockname()[1]}), flush=True)\n"
        "caller, _ = server.accept()\n"
        "server.close()\n"
        "caller.close()\n"
        "sys.stdin.read()\n"
    )
    endpoint = await yard.supervisor.ensure_running(yard.add("closes", source=source))
    with pytest.raises(OSError):
        await yard.get(endpoint)
    return endpoint


def _since(yard: Yard, service_id: str) -> float:
    return yard.supervisor.state(service_id).since


def _runs_a_program(process: psutil.Process) -> bool:
    try:
        return "/programs/" in process.cwd()
    except psutil.Error:
        return False

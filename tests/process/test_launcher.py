"""Making a process out of a launch spec."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from core.process.launcher import SpawnedProcess, minimal_environment
from core.process.sandbox import landlock_abi
from tests.process.yard import Yard

MakeYard = Callable[..., Yard]

NODE_ASKS = """
const fs = require("node:fs");
const http = require("node:http");
function look(folder) {
  try { return fs.readdirSync(folder).length; } catch (error) { return error.code; }
}
process.stdin.once("data", () => {
  const seen = JSON.stringify({
    memory: process.memoryUsage().rss > 0,
    temporary: require("node:os").tmpdir(),
    random: require("node:crypto").randomBytes(4).length,
    environment: Object.keys(process.env),
    home: look(process.env.HOME),
  });
  const server = http.createServer((request, response) => response.end(seen));
  server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
});
process.stdin.on("end", () => process.exit(0));
"""


def test_only_named_variables_pass() -> None:
    """Nothing of the core's environment reaches a child unless it is on the list."""
    environment = {"PATH": "/bin", "TZ": "UTC", "https_proxy": "http://p", "LOCKER_TOKEN": "x", "LD_PRELOAD": "y"}

    assert {"PATH": "/bin", "TZ": "UTC", "https_proxy": "http://p"} == minimal_environment(environment)


@pytest.mark.parametrize("has_pidfd", [True, False], ids=["pidfd", "thread"])
def test_the_end_of_a_spawned_process_is_seen(has_pidfd: bool) -> None:
    """By its pidfd, or by a thread on systems that have none; many at once, each with its status."""
    if has_pidfd and not hasattr(os, "pidfd_open"):
        pytest.skip("needs pidfds")

    async def scenario() -> list[int | None]:
        processes = [SpawnedProcess(shell, has_pidfd=has_pidfd) for shell in shells]
        waiting = [asyncio.create_task(process.wait()) for process in processes]
        await asyncio.sleep(0)
        os.close(writing)
        async with asyncio.timeout(20):
            return await asyncio.gather(*waiting)

    reading, writing = os.pipe()
    shells = [subprocess.Popen(["sh", "-c", f"read line; exit {n}"], stdin=reading) for n in range(40)]
    statuses = asyncio.run(scenario())
    os.close(reading)

    assert list(range(40)) == statuses


def test_any_language_on_the_suggested_port(make_yard: MakeYard) -> None:
    """A shell script that answers {} is reached at the port it was offered."""

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("shell_minimal"))

            assert b"shell-minimal" == await yard.get(endpoint)
            assert yard.greetings[0].port == endpoint.port

    asyncio.run(scenario())


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node: apt-get install nodejs")
def test_node_runs_in_the_sandbox(make_yard: MakeYard) -> None:
    """A connector in JavaScript starts and answers like any other."""

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("node_minimal"))

            assert b"node-minimal node-minimal" == await yard.get(endpoint)

    asyncio.run(scenario())


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node: apt-get install nodejs")
def test_node_finds_what_it_asks_for(make_yard: MakeYard, tmp_path: Path) -> None:
    """Inside the walls Node measures itself, finds its temporary folder and randomness, and not the owner's home."""
    source = tmp_path / "asks"
    source.mkdir()
    (source / "connector.js").write_text(NODE_ASKS)

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("asks", source=source, argv=("node", "connector.js"))
            endpoint = await yard.supervisor.ensure_running(name)
            seen = json.loads(await yard.get(endpoint))

            assert (True, 4) == (seen["memory"], seen["random"])
            assert str(yard.me / "asks" / "tmp") == seen["temporary"]
            assert {"PATH", "TMPDIR"} <= set(seen["environment"])
            assert landlock_abi() == 0 or "EACCES" == seen["home"]

    asyncio.run(scenario())


def test_a_command_beside_the_manifest(make_yard: MakeYard, tmp_path: Path) -> None:
    """`./start` is found in the source folder, whatever folder the core runs in."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "start").write_text("#!/bin/sh\nexec sh $(dirname $0)/connector.sh\n")
    (source / "start").chmod(0o755)
    shutil.copy(Path(__file__).parents[1] / "fakes" / "programs" / "shell_minimal" / "connector.sh", source)

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("start", source=source, argv=("./start",)))

            assert b"shell-minimal" == await yard.get(endpoint)

    asyncio.run(scenario())


def test_the_service_log_tells_of_starts_and_ends(make_yard: MakeYard) -> None:
    """Between a child's own lines stands when it began and how it ended."""

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("ends_in_order"))
            await yard.supervisor.stop("ends-in-order", reason="test")
            lines = [line.partition(" ")[2] for line in yard.logs.tail("ends-in-order", 10)]

            assert [f"core | started, pid {endpoint.pid}", "core | was ended by SIGTERM"] == lines

    asyncio.run(scenario())

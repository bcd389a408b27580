"""kill -9 of the core between a call and its answer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.schedule.desk import MINUTE, open_desk

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("path", "stays"), [("/sync/entry", True), ("/poll?full=1", False)])
def test_kill_between_fire_and_answer(tmp_path: Path, path: str, stays: bool) -> None:
    """The call is in the list when the core is back, and is made again within the first retry's wait."""
    command = [sys.executable, "-m", "tests.schedule.driver", str(tmp_path / "core.db"), path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        process.kill()
        process.wait(10)

    async def scene() -> None:
        async with open_desk(tmp_path, start=False) as desk:
            desk.frequencies += [("feeds", "entry", 3600.0)] if stays else []
            await desk.scheduler.start()
            shown = desk.entries()[path]
            desk.clock.advance(MINUTE / 2)
            await desk.settle()

            assert f"called feeds {path}" == said.strip()
            assert (1, "Locker stopped during the call") == (shown.tries, shown.last_problem)
            assert [("feeds", path)] == desk.calls
            assert stays == (path in desk.entries())

    asyncio.run(scene())

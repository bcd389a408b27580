"""kill -9 of the core while a listener works."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from core.store import CoreDb
from tests.events.desk import open_desk, until

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("moment", ["before the answer", "after the answer"])
def test_kill_during_a_delivery_loses_nothing(tmp_path: Path, moment: str) -> None:
    """Events that were not acknowledged durably come again, those after them follow, and none is missing."""
    command = [sys.executable, "-m", "tests.events.listener_driver", str(tmp_path), moment]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        process.kill()
        process.wait(10)
    with CoreDb.open(tmp_path / "core.db") as coredb:
        acknowledged = coredb.read("SELECT coalesce(max(seq), 0) FROM position WHERE log <> ''")[0][0]

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.shelf("github")
            desk.put("github", "late")
            await until(lambda: "late" in desk.heard())

            assert "0 1 2 3 4" == said.strip()
            assert [str(number) for number in range(acknowledged, 10)] == desk.heard()[:-1]
            assert acknowledged in ({0} if moment == "before the answer" else {0, 5})

    asyncio.run(scene())

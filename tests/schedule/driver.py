"""A process that calls a path and is killed before the answer: `python -m tests.schedule.driver <core.db> <path>`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from core.model.clock import ManualClock
from core.schedule import Scheduler
from core.store import CoreDb


async def run(database: Path, path: str) -> None:
    """Ask for the path at once, and say when its call is under way; the answer never comes."""

    async def call(service: str, path: str) -> int:
        print("called", service, path, flush=True)
        await asyncio.Event().wait()
        return 200

    scheduler = Scheduler(
        CoreDb.open(database),
        ManualClock(),
        call,
        lambda: [("feeds", "entry", 3600.0)] if path == "/sync/entry" else [],
        services=lambda: ["feeds"],
        check=lambda _service: None,
    )
    await scheduler.start()
    await scheduler.at("feeds", path, 0)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2]))

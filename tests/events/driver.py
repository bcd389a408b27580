"""A server with event streams in a process of its own: prints its port, and stores a record for each line it reads."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.events.wire import open_streams


async def run(folder: Path) -> None:
    """Serve until stdin ends."""
    async with open_streams(folder) as streams:
        streams.desk.shelf("github")
        print(streams.port, flush=True)
        number = 0
        while await asyncio.to_thread(sys.stdin.readline):
            number += 1
            streams.desk.put("github", str(number))


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))

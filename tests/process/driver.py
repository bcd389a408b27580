"""A core in small, to be killed: `python -m tests.process.driver <me> <zygote|plain> <program>…`.

It starts the programs, prints the pids of its warm parent and its children as one line of JSON, and waits.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.process.yard import Yard, warm_parent


async def run(me: Path, way: str, programs: list[str]) -> None:
    """Start everything, tell the pids, wait to be killed."""
    zygote = warm_parent("http.server") if way == "zygote" else None
    yard = Yard(me, zygote=zygote)
    await yard.supervisor.start()
    endpoints = [await yard.supervisor.ensure_running(yard.add(program)) for program in programs]
    pids = [endpoint.pid for endpoint in endpoints] + [zygote.pid for _ in range(1) if zygote is not None]
    print(json.dumps(pids), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))

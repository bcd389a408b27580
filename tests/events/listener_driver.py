"""A core that is killed while it delivers: `python -m tests.events.listener_driver <folder> <moment>`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from core.events import DeliveryLimits
from tests.events.desk import EventDesk


class Desk(EventDesk):
    """Says what it was sent, and answers or not."""

    def __init__(self, folder: Path, moment: str) -> None:
        self.moment = moment
        super().__init__(folder)

    async def post(self, service: str, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Say the keys; the second batch is never answered."""
        await super().post(service, path, headers, body)
        print(*(event["key"] for event in self.posts[-1][2]), flush=True)
        if self.moment == "before the answer" or len(self.posts) > 1:
            await asyncio.Event().wait()
        return 200


async def run(folder: Path, moment: str) -> None:
    """Store ten records and deliver them by fives until killed."""
    desk = Desk(folder, moment)
    desk.deliveries = desk.new_deliveries(DeliveryLimits(batch_events_max=5, batch_wait_s=0.0))
    await desk.deliveries.start()
    await desk.deliveries.listen("people", type="contact", path="/cb")
    desk.put("github", *(str(number) for number in range(10)))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2]))

"""Who stands behind a connection: a connector that got hold of the owner's cookie may not use it.

A browser sends the session's cookie to every port of the dashboard's host, a child's among them, once somebody leads
it there. So a session counts only on connections that no child holds, whatever their headers say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from core.gateway import CONNECTION
from core.model.errors import TooBusy
from core.process import Holder
from core.web.parts import Scope

THREADS = 2
WAITING_MAX = 32

Address = tuple[str, int]
_HOLDER = "holder"


class Kin:
    """Asks the system once for each connection: a socket does not change hands while its request is answered.

    It has threads of its own, since a look takes as long as the machine has processes. Owned by the event loop.
    """

    def __init__(self, holder_of: Callable[[Address, Address], Holder]) -> None:
        self._holder_of = holder_of
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="kin")
        self._inside = 0

    async def holder(self, scope: Scope) -> Holder:
        """Who holds the other end, a process below the core where that cannot be known; raises TooBusy."""
        about: dict[str, Any] = (scope.get("extensions") or {}).get(CONNECTION, {})
        if _HOLDER not in about:
            client, server = scope.get("client"), scope.get("server")
            if not client or not server or not server[1]:
                return Holder.BELOW
            about[_HOLDER] = await self._ask((client[0], client[1]), (server[0], server[1]))
        found: Holder = about[_HOLDER]
        return found

    async def close(self) -> None:
        """Let the threads go."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)

    async def _ask(self, client: Address, server: Address) -> Holder:
        if self._inside >= WAITING_MAX:
            raise TooBusy("too many connections wait to be looked at", retry_after_s=1)
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._holder_of, client, server)
        finally:
            self._inside -= 1

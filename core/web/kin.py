"""Whether a request comes from a connector: one that got hold of the owner's cookie may not use it.

A browser sends the session's cookie to every port of the dashboard's host, a child's among them, once somebody leads
it there. So a session counts only on connections that no child holds, whatever their headers say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from core.gateway import CONNECTION
from core.web.parts import Scope

Address = tuple[str, int]
_IS_CHILDS = "is a child's"


class Kin:
    """Asks the system once for each connection: a socket does not change hands while its request is answered."""

    def __init__(self, is_from_below: Callable[[Address, Address], bool]) -> None:
        self._is_from_below = is_from_below

    async def is_childs(self, scope: Scope) -> bool:
        """Whether a process below the core holds the other end; so it is taken where that cannot be known."""
        about: dict[str, Any] = (scope.get("extensions") or {}).get(CONNECTION, {})
        if _IS_CHILDS not in about:
            client, server = scope.get("client"), scope.get("server")
            if not client or not server or not server[1]:
                return True
            ends = (client[0], client[1]), (server[0], server[1])
            about[_IS_CHILDS] = await asyncio.to_thread(self._is_from_below, *ends)
        return bool(about[_IS_CHILDS])

"""The answer to a client as far as it has gone: what can still be said when something fails."""

from __future__ import annotations

from typing import Any

from core.gateway.forward import Send
from core.model.errors import LockerError
from core.model.problem import problem_messages

CUT = "locker.cut"
INTERNAL_ERROR = 1011


class Reply:
    """Turns an error into a problem document, or, once the answer has begun, into one that visibly breaks off."""

    def __init__(self, scope: dict[str, Any], send: Send) -> None:
        self._scope = scope
        self._send = send
        self._has_begun = False

    async def send(self, message: dict[str, Any]) -> None:
        """Hand a message of the answer to the server."""
        self._has_begun = True
        await self._send(message)

    async def refuse(self, error: LockerError) -> None:
        """Say what happened, as far as it can still be said."""
        if self._scope["type"] == "websocket":
            await self._refuse_websocket(error)
        elif self._has_begun:
            self._break_off(error)
        else:
            await self._problem("http.response", error)

    async def _refuse_websocket(self, error: LockerError) -> None:
        if not self._has_begun and "websocket.http.response" in self._scope.get("extensions", {}):
            await self._problem("websocket.http.response", error)
        else:
            await self._send({"type": "websocket.close", "code": INTERNAL_ERROR, "reason": error.code})

    def _break_off(self, error: LockerError) -> None:
        """Close the connection before the answer's end: a client must never take a part for the whole."""
        cut = self._scope.get("extensions", {}).get(CUT)
        if cut is None:
            # Any other server closes the connection when the application fails.
            raise error
        cut()

    async def _problem(self, kind: str, error: LockerError) -> None:
        for message in problem_messages(error, kind=kind):
            await self._send(message)

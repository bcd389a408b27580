"""A WebSocket between a client and a child: messages pass both ways until either side ends it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from core.gateway.buffer import Receive
from core.gateway.connection import HOST, Endpoint, Pool
from core.gateway.forward import Send
from core.gateway.headers import Headers, response_headers
from core.gateway.limits import MESSAGE_BYTES_MAX, GatewayLimits
from core.gateway.request import Request
from core.gateway.watch import Watch
from core.model.errors import AnswerInvalid, ChildDied, ChildMute, LockerError

log = logging.getLogger(__name__)

CLOSE_S = 5.0
# Reading from the child pauses above this many frames, so that one slow client holds few messages.
FRAMES_HELD_MAX = 2
REASON_BYTES_MAX = 123
GOING_AWAY, INTERNAL_ERROR, NORMAL = 1001, 1011, 1000

# The library writes whole handshakes to its log at level DEBUG: tokens and cookies must never get there.
_quiet = logging.getLogger("core.gateway.upgrade.frames")
_quiet.setLevel(logging.WARNING)


class Upgrade:
    """Connects one client's WebSocket to a child's. `client` reads from the client alone, from `begin` on."""

    def __init__(self, request: Request, receive: Receive, *, watch: Watch, pool: Pool, limits: GatewayLimits) -> None:
        self._request = request
        self._receive = receive
        self._watch = watch
        self._pool = pool
        self._limits = limits
        self._service_id = request.target.service_id
        self._child: asyncio.Future[ClientConnection] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._client_closed = False

    def begin(self) -> None:
        """Start listening to the client: it may leave while the child starts."""
        self._task = asyncio.get_running_loop().create_task(self._from_client())

    async def run(self, endpoint: Endpoint, send: Send) -> None:
        """Open the child's side, then carry messages until one side closes."""
        self._watch.expect(self._limits.first_byte_s, self._mute)
        connection = await self._connect(endpoint)
        try:
            await self._shake_hands(connection, endpoint, send)
            self._watch.expect(None)
            self._child.set_result(connection)
            await self._from_child(connection, send)
        except InvalidStatus as refusal:
            await self._refuse(refusal, endpoint, send)
        except ClientDisconnected:
            # The server's own word for a client that is gone; the child's side ends with ours.
            log.debug("client left a websocket id=%s", self._service_id)
        finally:
            connection.transport.abort()

    def close(self) -> None:
        """Stop listening to the client."""
        if self._task is not None:
            self._task.cancel()
        if self._child.done() and not self._child.cancelled():
            self._child.result().transport.abort()

    async def _connect(self, endpoint: Endpoint) -> ClientConnection:
        path, _, query = self._request.target.path_and_query.decode("ascii").partition("?")
        protocol = ClientProtocol(
            WebSocketURI(secure=False, host=HOST, port=endpoint.port, path=path, query=query),
            subprotocols=[Subprotocol(name) for name in self._request.subprotocols] or None,
            max_size=MESSAGE_BYTES_MAX,
            logger=_quiet,
        )
        return await self._pool.open(
            self._service_id,
            endpoint,
            lambda: ClientConnection(protocol, ping_interval=None, close_timeout=CLOSE_S, max_queue=FRAMES_HELD_MAX),
        )

    async def _shake_hands(self, connection: ClientConnection, endpoint: Endpoint, send: Send) -> None:
        try:
            await connection.handshake(self._request.fields(endpoint), user_agent_header=None)
        except InvalidStatus:
            raise
        except (InvalidMessage, EOFError, ConnectionError) as err:
            raise ChildDied(f"{self._service_id} closed the connection before it answered") from err
        except InvalidHandshake as err:
            raise AnswerInvalid(f"{self._service_id} does not answer as a WebSocket should") from err
        response = connection.response
        headers = self._headers(response.headers.raw_items() if response is not None else (), endpoint, status=101)
        await send({"type": "websocket.accept", "subprotocol": connection.subprotocol, "headers": headers})

    async def _from_child(self, connection: ClientConnection, send: Send) -> None:
        try:
            while True:
                message = await connection.recv()
                kind = "text" if isinstance(message, str) else "bytes"
                await send({"type": "websocket.send", kind: message})
        except ConnectionClosed as closed:
            if not self._client_closed:
                await send(_closing(closed))

    async def _from_client(self) -> None:
        try:
            while True:
                message = await self._receive()
                if message["type"] == "websocket.receive":
                    child = await self._child
                    text = message.get("text")
                    await child.send(message["bytes"] if text is None else text)
                elif message["type"] == "websocket.disconnect":
                    await self._client_left(message)
                    return
        except ConnectionClosed:
            return

    async def _client_left(self, message: dict[str, Any]) -> None:
        self._client_closed = True
        if not self._child.done():
            self._watch.leave()
            return
        code = message.get("code") or NORMAL
        await self._child.result().close(_sendable(code), _short(message.get("reason") or ""))

    async def _refuse(self, refusal: InvalidStatus, endpoint: Endpoint, send: Send) -> None:
        """Pass on the answer of a child that did not want to speak WebSocket."""
        response = refusal.response
        headers = self._headers(response.headers.raw_items(), endpoint, status=response.status_code)
        await send({"type": "websocket.http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": response.body or b""})

    def _headers(self, items: Any, endpoint: Endpoint, *, status: int) -> Headers:
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in items]
        passed = response_headers(
            fields,
            self._request.target,
            status=status,
            child_port=endpoint.port,
            core_port=self._request.core_port,
            is_door=self._request.is_door,
        )
        return [field for field in passed if not field[0].startswith((b"sec-websocket-", b"content-length"))]

    def _mute(self) -> LockerError:
        return ChildMute(f"{self._service_id} did not open the WebSocket within {self._limits.first_byte_s:g} s")


def _closing(closed: ConnectionClosed) -> dict[str, Any]:
    """What the client is told when the child's side has ended: the child's own words, if it had any."""
    if closed.rcvd is None:
        code, reason = INTERNAL_ERROR, "the connector's connection broke off"
    else:
        code, reason = _sendable(closed.rcvd.code), closed.rcvd.reason
    return {"type": "websocket.close", "code": code, "reason": _short(reason)}


def _short(reason: str) -> str:
    return reason.encode("utf-8")[:REASON_BYTES_MAX].decode("utf-8", "ignore")


def _sendable(code: int) -> int:
    """`code` if it may stand in a close frame, else the nearest that may."""
    if code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999:
        return code
    return NORMAL if code == 1005 else GOING_AWAY

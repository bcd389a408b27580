"""What can still be said when something fails: a problem document, or an end that is seen to be one."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from core.gateway.reply import CUT, Reply
from core.model.errors import TooBusy
from tests.gateway.house import Backends, Core, RawChild, read_head, request


class Server:
    """Takes what an application sends."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    async def send(self, message: dict[str, Any]) -> None:
        self.messages.append(message)


def refuse(scope: dict[str, Any], *before: dict[str, Any]) -> Server:
    """A reply that has sent some messages and then fails."""
    server = Server()

    async def scenario() -> None:
        reply = Reply(scope, server.send)
        for message in before:
            await reply.send(message)
        await reply.refuse(TooBusy("full", retry_after_s=3))

    asyncio.run(scenario())
    return server


def test_nothing_said_yet_becomes_a_problem_document() -> None:
    """With its length and the time to come back."""
    start, body = refuse({"type": "http"}).messages

    assert 503 == start["status"]
    assert {b"retry-after": b"3", b"content-length": b"%d" % len(body["body"])}.items() <= dict(
        start["headers"]
    ).items()


def test_an_answer_that_has_begun_is_cut() -> None:
    """By the server's own means; by any other server's reaction to a failure where there are none."""
    cuts: list[bool] = []
    scope = {"type": "http", "extensions": {CUT: lambda: cuts.append(True)}}

    assert 1 == len(refuse(scope, {"type": "http.response.start"}).messages)
    assert [True] == cuts
    with pytest.raises(TooBusy):
        refuse({"type": "http"}, {"type": "http.response.start"})


def test_a_websocket_is_refused_as_far_as_it_has_gone() -> None:
    """A problem document before the handshake, where the server can; else a close with a code."""
    can = {"type": "websocket", "extensions": {"websocket.http.response": {}}}

    assert "websocket.http.response.start" == refuse(can).messages[0]["type"]
    assert {"type": "websocket.close", "code": 1011, "reason": "too_busy"} == refuse({"type": "websocket"}).messages[0]
    assert "websocket.close" == refuse(can, {"type": "websocket.accept"}).messages[1]["type"]


def test_another_server_ends_a_cut_answer_visibly_too(tmp_path: Path) -> None:
    """Without our extension the failure itself closes the connection."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    def bare(door: Any) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await door({**scope, "extensions": {}}, receive, send)

        return app

    with RawChild(script) as child, Core(Backends({"foo": child.port}), tmp_path, wrap=bare) as core:
        response = core.ask(request("GET", "/Me/foo/"))

    assert response.endswith(b"3\r\nabc\r\n")

"""A store and its server, and bare connections to it, for the wire's tests."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.model.frames import BadFrame, FrameReader, encode_frame
from core.netstore import Door, Grant, StoreServer, one_store
from core.store import Store

TOKEN = "a-token-of-thirty-two-characters-"


class Bare:
    """A connection that sends and receives bytes as a stranger's program would."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._reader = FrameReader(bytes_max=512 * 1024 * 1024)
        connection.settimeout(20)

    def ask(self, **request: Any) -> dict[str, Any]:
        """The reply to one request."""
        self.send(request)
        return self.reply()

    def send(self, *requests: Any) -> None:
        """Send documents, a frame each."""
        self.socket.sendall(b"".join(encode_frame(json.dumps(request).encode()) for request in requests))

    def body(self) -> bytes | None:
        """The next frame's body; None at the end."""
        while (found := self._reader.take()) is None:
            data = self.socket.recv(65536)
            if not data:
                return None
            self._reader.feed(data)
        assert not isinstance(found, BadFrame)
        return found

    def reply(self) -> dict[str, Any]:
        """The next frame's object."""
        body = self.body()
        assert body is not None, "the server closed the connection"
        found: dict[str, Any] = json.loads(body)
        return found

    def is_closed(self) -> bool:
        """Whether the server ended the connection, orderly."""
        return self.body() is None


class Served:
    """A store with its server."""

    def __init__(self, store: Store, server: StoreServer, folder: Path) -> None:
        self.store = store
        self.server = server
        self.folder = folder
        self.path = server.serve_unix(folder / "store.sock", Door(store_of=one_store(store)))
        self._tcp: tuple[str, int] | None = None
        self._bares: list[Bare] = []

    @property
    def tcp(self) -> tuple[str, int]:
        """A TCP address of the server, which wants the token."""
        if self._tcp is None:
            door = Door(store_of=one_store(self.store), grant_of=grants)
            self._tcp = self.server.serve_tcp("127.0.0.1:0", door)
        return self._tcp

    @property
    def tcp_address(self) -> str:
        """The same as text."""
        return f"{self.tcp[0]}:{self.tcp[1]}"

    def bare(self) -> Bare:
        """A bare connection to the Unix socket."""
        return self._kept(Bare(connected(self.path)))

    def bare_tcp(self) -> Bare:
        """A bare connection to the TCP port."""
        return self._kept(Bare(socket.create_connection(self.tcp)))

    def close(self) -> None:
        """End everything."""
        for bare in self._bares:
            bare.socket.close()
        self.server.stop()
        self.store.close()

    def _kept(self, bare: Bare) -> Bare:
        self._bares.append(bare)
        return bare


class Altered:
    """A store of which some methods are others."""

    def __init__(self, store: Store, **methods: Callable[..., Any]) -> None:
        self._store = store
        vars(self).update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def grants(token: str) -> Grant | None:
    """One token opens reading and writing."""
    return Grant("app:1") if token == TOKEN else None


def fact(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A fact as the Ruby client builds it."""
    return {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "store": "tasks",
        "key": f"t{number}",
        "value": {"n": number},
        "value_hash": None,
        "causation": None,
        "transaction_time": 1700000000.25,
        "valid_time": None,
        "schema_version": 1,
        "producer": None,
        "derivation": None,
        **fields,
    }


def connected(path: Path) -> socket.socket:
    """A connection to a Unix socket."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(path))
    return connection

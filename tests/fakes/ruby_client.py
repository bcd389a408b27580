"""The Ruby client of Igniter Store as its published source reads, byte for byte on the wire.

One request in flight, flat objects, `op` last in a call, no request id; keys it does not know are sliced away. A second
connection and a thread for a subscription, whose callback's errors are swallowed.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Sequence
from typing import Any

FACT_KEYS = (
    "id", "store", "key", "value", "value_hash", "causation", "transaction_time", "valid_time", "schema_version",
    "producer", "derivation",
)  # fmt: skip


class NetworkError(Exception):
    """What the client raises with the server's sentence."""


class RubyClient:
    """`NetworkBackend.new(address:, transport:)`."""

    def __init__(self, address: str, transport: str = "tcp") -> None:
        self._address = address
        self._transport = transport
        self._mutex = threading.Lock()
        self._socket = self._connect()

    def write_fact(self, fact: dict[str, Any]) -> None:
        """Store one fact."""
        self._rpc("write_fact", fact=fact)

    def replay(self) -> list[dict[str, Any]]:
        """Every fact, in one reply."""
        return [_decode(fact) for fact in self._rpc("replay").get("facts") or []]

    def write_snapshot(self, facts: Sequence[dict[str, Any]]) -> None:
        """Send all facts."""
        self._rpc("write_snapshot", facts=list(facts))

    def stats(self) -> dict[str, Any]:
        """The server's few numbers."""
        return self._rpc("stats")

    def subscribe(self, stores: Sequence[str], callback: Callable[[dict[str, Any]], None]) -> Subscription:
        """Facts as they come, on a connection of their own."""
        connection = self._connect()
        connection.sendall(encode_frame(_generate({"op": "subscribe", "stores": list(stores)})))
        body = read_frame(connection)
        if body is None:
            raise NetworkError("Subscribe: server closed connection")
        reply = json.loads(body)
        if not reply["ok"]:
            raise NetworkError(reply["error"])
        return Subscription(connection, callback)

    def close(self) -> None:
        """Drain the server's answer, so that the socket closes with FIN and not RST."""
        with self._mutex:
            try:
                self._socket.sendall(encode_frame(_generate({"op": "close"})))
                read_frame(self._socket)
            except OSError:
                pass
            finally:
                self._socket.close()

    def _rpc(self, op: str, **members: Any) -> dict[str, Any]:
        with self._mutex:
            self._socket.sendall(encode_frame(_generate({**members, "op": op})))
            body = read_frame(self._socket)
        if body is None:
            raise NetworkError("Server closed connection")
        reply: dict[str, Any] = json.loads(body)
        if not reply["ok"]:
            raise NetworkError(reply["error"])
        return reply

    def _connect(self) -> socket.socket:
        if self._transport == "unix":
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.connect(self._address)
        else:
            host, _, port = self._address.partition(":")
            connection = socket.create_connection((host, int(port)))
        connection.settimeout(30)
        return connection


class Subscription:
    """The handle whose `close` ends it."""

    def __init__(self, connection: socket.socket, callback: Callable[[dict[str, Any]], None]) -> None:
        self._connection = connection
        self._callback = callback
        connection.settimeout(None)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)

    def _run(self) -> None:
        with self._connection:
            while True:
                try:
                    body = read_frame(self._connection)
                except OSError:
                    return
                if body is None:
                    return
                event = json.loads(body)
                if event.get("event") != "fact_written":
                    continue
                try:
                    self._callback(_decode(event["fact"]))
                except Exception:  # As the original: `callback.call(fact) rescue nil`.
                    continue


def encode_frame(body: bytes) -> bytes:
    """`[body.bytesize].pack("N") + body + [Zlib.crc32(body)].pack("N")`."""
    return struct.pack(">I", len(body)) + body + struct.pack(">I", zlib.crc32(body))


def read_frame(connection: socket.socket) -> bytes | None:
    """The next body; None at the end, and where anything is wrong."""
    header = _read(connection, 4)
    if header is None:
        return None
    (length,) = struct.unpack(">I", header)
    body = _read(connection, length)
    crc = _read(connection, 4)
    if body is None or crc is None or zlib.crc32(body) != struct.unpack(">I", crc)[0]:
        return None
    return body


def _read(connection: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            return None
        data += piece
    return data


def _generate(document: dict[str, Any]) -> bytes:
    """`JSON.generate`: no blanks, letters as they are."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _decode(fact: dict[str, Any]) -> dict[str, Any]:
    return {key: fact.get(key) for key in FACT_KEYS}

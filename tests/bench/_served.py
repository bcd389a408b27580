"""A store served over the wire by a process of its own, and callers that cost next to nothing.

A caller's requests are made beforehand and its replies are only looked at where they say `ok`, so that what is
measured is the server; a caller in any language may be about as quick.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from core.model.frames import encode_frame
from core.model.ids import uuid7
from core.store import Entry
from tests.fakes.house import ROOT

STORE = "tasks"
UP_S_MAX = 30.0
ANSWER_S_MAX = 120.0
RECEIVE_BYTES = 1024 * 1024
OK = b'{"ok":true'
_UNIX = re.compile(r"^Serving .* at (\S+)$")
_TCP = re.compile(r"^and at (\S+) port (\d+)\.$")


class Server:
    """`python -m core.cli store serve`: a store of its own at a Unix socket and a TCP port, no token asked.

    `program` may be another one with the same commands.
    """

    def __init__(self, folder: Path, *, program: str = "core.cli") -> None:
        self.folder = folder
        self.unix = self.tcp = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", program, "store", "serve", str(folder), "--create",
             "--tcp", "127.0.0.1:0", "--no-token"],
            cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if match := _UNIX.match(line.strip()):
                self.unix = match[1]
            if match := _TCP.match(line.strip()):
                self.tcp = f"{match[1]}:{match[2]}"
                return
        raise AssertionError("the server does not start: " + "".join(said))

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def place(self, transport: str) -> str:
        """Where it is reached by `unix` or `tcp`."""
        return self.unix if transport == "unix" else self.tcp

    def stop(self) -> None:
        """End it properly."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(UP_S_MAX)
        self._let_go()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(UP_S_MAX)
        self._let_go()

    def _let_go(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()


def value_of(number: int) -> dict[str, Any]:
    """The reference record."""
    return {"title": "Hello", "status": "open", "n": number}


def entry_of(number: int) -> Entry:
    """The reference record as a fact, under a key and an id of its own."""
    return Entry(type=STORE, key=f"t{number}", id=str(uuid7(time.time())), value=value_of(number))


def frame_of(number: int) -> bytes:
    """The request that writes it, as the Ruby client spells it."""
    return request_frame({"fact": _document_of(number), "op": "write_fact"})


def _document_of(number: int) -> dict[str, Any]:
    return {
        "id": str(uuid7(time.time())),
        "store": STORE,
        "key": f"t{number}",
        "value": value_of(number),
        "value_hash": None,
        "causation": None,
        "transaction_time": time.time(),
        "valid_time": None,
        "schema_version": 1,
        "producer": None,
        "derivation": None,
    }


def batch_frame(numbers: Iterable[int]) -> bytes:
    """The request that writes the reference records of these numbers together."""
    return request_frame({"op": "write_facts", "facts": [_document_of(number) for number in numbers]})


def request_frame(request: dict[str, Any]) -> bytes:
    """A request as a frame."""
    return encode_frame(json.dumps(request, separators=(",", ":")).encode())


def connected(transport: str, place: str) -> socket.socket:
    """A bare connection."""
    if transport == "unix":
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.connect(place)
    else:
        host, _, port = place.rpartition(":")
        line = socket.create_connection((host, int(port)))
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.settimeout(ANSWER_S_MAX)
    return line


class Frames:
    """Frames out of a stream of bytes, unread but for their beginnings."""

    def __init__(self) -> None:
        self._data = bytearray()

    def bodies(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are whole with these bytes."""
        self._data += data
        place, have = 0, len(self._data)
        while have - place >= 4:
            size = int.from_bytes(self._data[place : place + 4], "big")
            if have - place < size + 8:
                break
            yield bytes(self._data[place + 4 : place + 4 + size])
            place += size + 8
        del self._data[:place]


class Talk:
    """One caller, a request at a time or several."""

    def __init__(self, transport: str, place: str) -> None:
        self.socket = connected(transport, place)
        self._frames = Frames()

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def exchange(self, frames: bytes, count: int = 1) -> list[bytes]:
        """Send requests that stand in `frames`; their replies, each of which must be `ok`."""
        self.socket.sendall(frames)
        found: list[bytes] = []
        while len(found) < count:
            data = self.socket.recv(RECEIVE_BYTES)
            if not data:
                raise AssertionError("the server hung up")
            found += self._frames.bodies(data)
        for body in found:
            _check(body)
        return found


class Talkers:
    """Several callers on one thread, each with one request under way."""

    def __init__(self, transport: str, place: str, count: int) -> None:
        self._talks = [Talk(transport, place) for _ in range(count)]

    def __enter__(self) -> Talkers:
        return self

    def __exit__(self, *_: object) -> None:
        for talk in self._talks:
            talk.socket.close()

    def write(self, requests: Sequence[Sequence[bytes]], *, replies: int = 1) -> tuple[list[float], float]:
        """Each caller sends its `requests` one after the other, each of which brings so many replies; the ms that
        each took, and the seconds of all."""
        waiting = [iter(mine) for mine in requests]
        begun_at: dict[Talk, float] = {}
        left: dict[Talk, int] = {}
        times: list[float] = []
        begun = time.perf_counter()
        with selectors.DefaultSelector() as selector:
            for talk, mine in zip(self._talks, waiting, strict=True):
                selector.register(talk.socket, selectors.EVENT_READ, (talk, mine))
                begun_at[talk], left[talk] = time.perf_counter(), replies
                talk.socket.sendall(next(mine))
            while selector.get_map():
                for key, _ in selector.select(ANSWER_S_MAX):
                    talk, mine = key.data
                    for body in talk._frames.bodies(talk.socket.recv(RECEIVE_BYTES)):
                        _check(body)
                        left[talk] -= 1
                    if left[talk]:
                        continue
                    times.append((time.perf_counter() - begun_at[talk]) * 1000)
                    following = next(mine, None)
                    if following is None:
                        selector.unregister(talk.socket)
                        continue
                    begun_at[talk], left[talk] = time.perf_counter(), replies
                    talk.socket.sendall(following)
        return times, time.perf_counter() - begun


@contextlib.contextmanager
def following(transport: str, place: str, count: int) -> Iterator[list[socket.socket]]:
    """`count` connections that are told of every fact from now on."""
    talks = [Talk(transport, place) for _ in range(count)]
    try:
        for talk in talks:
            talk.exchange(request_frame({"op": "subscribe", "stores": []}))
        yield [talk.socket for talk in talks]
    finally:
        for talk in talks:
            talk.socket.close()


def _check(body: bytes) -> None:
    if not body.startswith(OK):
        raise AssertionError(body[:200])

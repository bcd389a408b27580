"""A real server with the event stream alone, and a client that reads it byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from core.events import EventStreams
from core.events.stream import MayHear, Receive, Scope, Send
from tests.events.desk import EventDesk, new_desk, until


@dataclass(frozen=True)
class Frame:
    """One block of server-sent text: an event, or a line for the machinery only."""

    id: str | None = None
    event: str | None = None
    data: Any = None
    comment: str | None = None


class Viewing:
    """One open request for /events."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.last_id: str | None = None
        self.frames: list[Frame] = []
        self._reader = reader
        self._writer = writer
        self._text = ""

    @classmethod
    async def open(cls, port: int, query: str = "", *, last_id: str | None = None, method: str = "GET") -> Viewing:
        """Connect and read the answer's head."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        resume = f"Last-Event-ID: {last_id}\r\n" if last_id is not None else ""
        writer.write(f"{method} /events?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n{resume}\r\n".encode("latin-1"))
        viewing = cls(reader, writer)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1")
        status, *lines = head.strip().split("\r\n")
        viewing.status = int(status.split()[1])
        viewing.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return viewing

    async def body(self) -> dict[str, Any]:
        """The JSON of an answer that is no stream."""
        text = await asyncio.wait_for(self._reader.readexactly(int(self.headers["content-length"])), 10)
        return dict(json.loads(text))

    async def next(self) -> Frame:
        """The next block, whatever it is; raises EOFError at the end of the stream."""
        while "\n\n" not in self._text:
            size = int((await asyncio.wait_for(self._reader.readuntil(b"\r\n"), 20)).strip() or b"0", 16)
            chunk = await self._reader.readexactly(size + 2)
            if size == 0:
                raise EOFError
            self._text += chunk[:-2].decode("utf-8")
        block, _, self._text = self._text.partition("\n\n")
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            fields[name or "comment"] = value.strip()
        frame = Frame(
            fields.get("id"),
            fields.get("event"),
            json.loads(fields["data"]) if "data" in fields else None,
            fields.get("comment"),
        )
        self.last_id = frame.id or self.last_id
        self.frames.append(frame)
        return frame

    async def event(self) -> Frame:
        """The next block that shows something."""
        while (frame := await self.next()).data is None:
            pass
        return frame

    async def events(self, count: int) -> list[dict[str, Any]]:
        """The next so many events."""
        return [(await self.event()).data for _ in range(count)]

    async def keys(self, count: int) -> list[str]:
        """The keys of the next so many events."""
        return [event["key"] for event in await self.events(count)]

    async def live(self) -> Viewing:
        """Return when the stream has caught up: it has been given a cursor without an event."""
        while (frame := await self.next()).id is None or frame.data is not None:
            pass
        return self

    async def close(self) -> None:
        """Leave."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class StreamDesk:
    """An event desk with a real server in front of its streams."""

    def __init__(self, desk: EventDesk, streams: EventStreams, port: int) -> None:
        self.desk = desk
        self.streams = streams
        self.port = port
        self.open: list[Viewing] = []

    async def view(self, query: str = "", *, last_id: str | None = None, live: bool = True) -> Viewing:
        """Open a stream; by default return when it is live."""
        viewing = await Viewing.open(self.port, query, last_id=last_id)
        self.open.append(viewing)
        return await viewing.live() if live and viewing.status == 200 else viewing


@contextlib.asynccontextmanager
async def open_streams(
    tmp_path: Path, *, may_hear: MayHear = lambda caller, name: True, comment_s: float = 15.0, caller: Any = "owner"
) -> AsyncIterator[StreamDesk]:
    """A desk whose streams are served on a free port, everything ended afterwards."""
    with new_desk(tmp_path) as desk:
        streams = EventStreams(desk.bus, may_hear=may_hear, comment_s=comment_s)
        await streams.start()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["locker.caller"] = caller
            await streams(scope, receive, send)

        async with serve(app) as port:
            stream_desk = StreamDesk(desk, streams, port)
            try:
                yield stream_desk
            finally:
                for viewing in stream_desk.open:
                    await viewing.close()
                await streams.close()
                await until(lambda: streams.count == 0)


@contextlib.asynccontextmanager
async def serve(app: Any) -> AsyncIterator[int]:
    """The port on which the application is served by uvicorn."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_config=None, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running

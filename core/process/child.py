"""One running child: its pipes, its handshake, its end. Owned by the loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Any

from core.model.errors import ChildDied, HandshakeInvalid, Retry, RunMissing, SettingsInvalid
from core.model.handshake import EXIT_STORE_BUSY, LINE_BYTES_MAX, Announcement, Greeting
from core.process import tree
from core.process.announcement import AnnouncementReader
from core.process.inside import EXIT_NOT_FOUND, EXIT_NOT_RUNNABLE
from core.process.launcher import Launched
from core.process.logs import Lines, Redaction, ServiceLog
from core.process.pipes import Inlet, pour
from core.process.ports import has_listener, owns_port
from core.process.spec import ProcessLimits

LAST_WORDS_LINES, LAST_WORDS_CHARS_MAX = 5, 1000
PORT_POLL_S, GONE_POLL_S = 0.02, 0.01
GONE_WAIT_S = 2.0
STORE_BUSY_S = 5.0
PUBLIC_APP_KEY = "client_id"


class Child:
    """A process that was greeted, is heard, and will be ended together with all it started."""

    def __init__(
        self,
        launched: Launched,
        *,
        greeting: Greeting,
        log: ServiceLog,
        limits: ProcessLimits,
        secrets: tuple[str, ...],
    ) -> None:
        self.pid = launched.process.pid
        self.leader = tree.Member(self.pid, tree.mark_of(self.pid) or "")
        self._service_id = greeting.id
        self._greeting = greeting
        self._limits = limits
        self._log = log
        self._log.forget()
        redaction = Redaction(decisive=(greeting.token, greeting.key), others=(*secrets, *_app_secrets(greeting)))
        self._lines = {"out": Lines(redaction), "err": Lines(redaction)}
        self._reader = AnnouncementReader(
            greeting.id, noise_lines_max=limits.noise_lines_max, noise_bytes_max=limits.noise_bytes_max
        )
        self._announced: asyncio.Future[Announcement | HandshakeInvalid] = asyncio.get_running_loop().create_future()
        self._known: frozenset[tree.Member] = frozenset()
        self._stdin: int | None = launched.stdin
        self._stdout = Inlet(launched.stdout, on_bytes=self._hear_stdout)
        self._stderr = Inlet(launched.stderr, on_bytes=self._hear_stderr)
        self.ended: asyncio.Task[int | None] = asyncio.create_task(launched.process.wait())

    async def announced(self) -> int:
        """Greet the child and return the port it listens on.

        Raises HandshakeInvalid, ChildDied, RunMissing, Retry where another process writes its store, and
        SettingsInvalid when they do not fit into a greeting.
        """
        assert self._stdin is not None
        line = self._greeting.to_line()
        if len(line) > LINE_BYTES_MAX:
            raise SettingsInvalid(f"{self._service_id}: its settings exceed the {LINE_BYTES_MAX} bytes of a greeting")
        writing = asyncio.create_task(pour(self._stdin, line))
        first: set[asyncio.Future[Any]] = {self._announced, self.ended}
        try:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        finally:
            writing.cancel()
            await asyncio.wait([writing])
        if not self._announced.done():
            self._drain()
        if not self._announced.done():
            raise self._died_early()
        announcement = self._announced.result()
        if isinstance(announcement, HandshakeInvalid):
            raise announcement
        port = announcement.port or self._greeting.port
        await self._check_port(port)
        return port

    def owns(self, port: int) -> bool:
        """Whether the child listens on `port`, and nobody else does."""
        return owns_port(self.pid, port)

    def remember(self, members: frozenset[tree.Member]) -> None:
        """Note what the child has started so far, to be found even if it abandons that and dies."""
        self._known = tree.alive(self._known) | members

    async def ask_to_end(self, *, grace_s: float) -> None:
        """End-of-file and SIGTERM; returns when it has ended, or after `grace_s`. `finish` has to follow."""
        self.remember(tree.members(self.leader))
        self._close_stdin()
        if not self.ended.done():
            tree.signal_group(self.leader, signal.SIGTERM)
            await asyncio.wait([self.ended], timeout=grace_s)

    def kill(self) -> None:
        """End the process now; whoever waits for its end goes on from there."""
        if not self.ended.done():
            tree.signal_group(self.leader, tree.KILL)

    async def finish(self) -> bool:
        """End it and all it started, read its last words, let go of its pipes; False if something would not go."""
        self.remember(tree.members(self.leader))
        self._close_stdin()
        self.kill()
        loop = asyncio.get_running_loop()
        await asyncio.wait([self.ended], timeout=GONE_WAIT_S)
        left = self._known | tree.left_behind(self.leader)
        deadline = loop.time() + GONE_WAIT_S
        while left and loop.time() < deadline:
            left = tree.alive(tree.kill(left))
            if left:
                await asyncio.sleep(GONE_POLL_S)
        self._drain()
        self._stdout.close()
        self._stderr.close()
        for source, lines in self._lines.items():
            for line in lines.rest():
                self._log.write(source, line)
        return self.ended.done() and not left

    def last_words(self) -> str:
        """The end of its stderr as part of a sentence, redacted; empty when it said nothing."""
        words = " / ".join(self._log.last_lines(LAST_WORDS_LINES))[-LAST_WORDS_CHARS_MAX:]
        return f"; its last words: {words}" if words else ""

    def exit_sentence(self) -> str:
        """How it ended, such as `ended with exit status 3`."""
        status = self.ended.result() if self.ended.done() and not self.ended.cancelled() else None
        return exit_sentence(status)

    def _died_early(self) -> ChildDied | RunMissing | Retry:
        status = self.ended.result()
        sentence = f"{self._service_id} {exit_sentence(status)} before its handshake{self.last_words()}"
        if status in (EXIT_NOT_FOUND, EXIT_NOT_RUNNABLE):
            return RunMissing(sentence)
        if status == EXIT_STORE_BUSY:
            return Retry(
                f"another process writes the store of {self._service_id}{self.last_words()}", retry_after_s=STORE_BUSY_S
            )
        return ChildDied(sentence)

    async def _check_port(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.port_grace_s
        while not owns_port(self.pid, port):
            if self.ended.done():
                raise self._died_early()
            if loop.time() > deadline:
                raise HandshakeInvalid(f"{self._service_id} announced port {port}, {self._flaw_of(port)}")
            await asyncio.sleep(PORT_POLL_S)

    def _flaw_of(self, port: int) -> str:
        if has_listener(self.pid, port):
            return "on which another process listens, alone or beside it"
        return "on which nobody listens at 127.0.0.1"

    def _hear_stdout(self, data: bytes) -> None:
        if self._announced.done():
            self._note("out", data)
            return
        try:
            self._note("out", self._reader.feed(data))
        except HandshakeInvalid as err:
            self._announced.set_result(err)
            return
        if self._reader.announcement is not None:
            self._announced.set_result(self._reader.announcement)

    def _hear_stderr(self, data: bytes) -> None:
        self._note("err", data)

    def _note(self, source: str, data: bytes) -> None:
        for line in self._lines[source].feed(data):
            self._log.write(source, line)

    def _drain(self) -> None:
        self._stdout.drain()
        self._stderr.drain()

    def _close_stdin(self) -> None:
        if self._stdin is not None:
            with contextlib.suppress(OSError):
                os.close(self._stdin)
            self._stdin = None


def exit_sentence(status: int | None) -> str:
    """How a process ended, in words."""
    if status is None:
        return "ended"
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _app_secrets(greeting: Greeting) -> tuple[str, ...]:
    return tuple(v for k, v in greeting.app.items() if isinstance(v, str) and k != PUBLIC_APP_KEY)

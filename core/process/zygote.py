"""The core's side of the warm parent: starts it, asks it for children, restarts it when it dies.

The warm parent is executed with a minimal environment, before the core has a thread or a secret. Children outlive it:
the core watches each by a pidfd of its own. While it cannot be had, the launcher spawns plainly.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.process.inside import Entry

log = logging.getLogger(__name__)

CHECKOUT = Path(__file__).resolve().parents[2]
MESSAGE_BYTES_MAX = 64 * 1024
MESSAGES_PER_WAKE_MAX = 100
FORK_DEADLINE_S, WARMING_S_MAX = 5.0, 15.0
END_WAIT_S = 1.0
LIVED_LONG_S = 10.0
RESTART_FIRST_S, RESTART_MAX_S = 0.05, 60.0


class Forked:
    """A child that the warm parent made: its pid, a pidfd that the caller closes, and its exit status one day."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.status: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()


class Zygote:
    """One warm parent at a time. `start` before any thread exists, `close` at the end; the rest belongs to the loop."""

    def __init__(
        self,
        *,
        preload: tuple[str, ...] = (),
        python: str = sys.executable,
        environment: Mapping[str, str],
        checkout: Path = CHECKOUT,
        fork_deadline_s: float = FORK_DEADLINE_S,
    ) -> None:
        self._command = [python, "-X", "utf8", "-m", "core.process.warm_parent"]
        self._preload = preload
        self._environment = dict(environment)
        self._checkout = checkout
        self._fork_deadline_s = fork_deadline_s
        self._is_warm = False
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: dict[int, asyncio.Future[Forked]] = {}
        self._children: dict[int, Forked] = {}
        self._number = 0
        self._started_at = 0.0
        self._early_ends = 0
        self._retry: asyncio.TimerHandle | None = None

    @staticmethod
    def is_possible() -> bool:
        """Whether this system can have one: forking without executing is safe and pidfds exist."""
        return sys.platform.startswith("linux") and hasattr(os, "pidfd_open")

    @property
    def pid(self) -> int | None:
        """The warm parent's pid while it lives."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Execute the warm parent; returns at once, the first fork waits until it is warm."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            self._process = subprocess.Popen(
                [*self._command, "--line", str(theirs.fileno()), "--preload", *self._preload],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=self._checkout,
                env=self._environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._line = ours
        self._is_warm = False
        self._started_at = time.monotonic()
        if self._loop is not None:
            self._loop.add_reader(ours, self._read)

    async def fork(self, entry: Entry, descriptors: tuple[int, int, int]) -> Forked:
        """A child that begins with `entry` and has `descriptors` as stdin, stdout and stderr; raises
        ConnectionError when there is none to be had from it now: a plain spawn does the same, only slower."""
        self._attach()
        if self._line is None:
            raise ConnectionError("the warm parent is not there")
        self._number += 1
        number = self._number
        message = json.dumps({"id": number, "entry": entry.to_json()}).encode()
        if len(message) > MESSAGE_BYTES_MAX:
            raise ConnectionError("the request is too long for the warm parent")
        answer: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            socket.send_fds(self._line, [message], descriptors)
            async with asyncio.timeout(self._fork_deadline_s + (0.0 if self._is_warm else WARMING_S_MAX)):
                return await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                self._children.pop(answer.result().pid, None)
                _end_unwanted(answer.result())
            raise
        except TimeoutError as err:
            self._lose()
            raise ConnectionError("the warm parent does not answer") from err
        except OSError as err:
            raise ConnectionError("the warm parent cannot be reached") from err
        finally:
            self._asked.pop(number, None)

    def close(self) -> None:
        """End the warm parent and with it every child that is left."""
        if self._retry is not None:
            self._retry.cancel()
        self._hang_up()
        self._loop = None
        if self._process is not None:
            try:
                self._process.wait(END_WAIT_S)
            except subprocess.TimeoutExpired:
                log.info("warm parent left to end its children by itself pid=%d", self._process.pid)
                # Nobody will wait for it: without a status the object would complain of that when it is collected.
                self._process.returncode = 0
            self._process = None

    def _attach(self) -> None:
        if self._loop is None and self._line is not None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._line, self._read)

    def _read(self) -> None:
        for _ in range(MESSAGES_PER_WAKE_MAX):
            if self._line is None:
                return
            try:
                data, descriptors, _, _ = socket.recv_fds(self._line, MESSAGE_BYTES_MAX, 1)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                self._lose()
                return
            self._take(json.loads(data), descriptors)

    def _take(self, message: dict[str, Any], descriptors: list[int]) -> None:
        if "ready" in message:
            self._is_warm = True
            for module, problem in message["failed"].items():
                log.warning("warm parent could not import module=%s problem=%s", module, problem)
            if message["threads"] != 1:
                log.warning("warm parent has %d threads; forking is safe with one only", message["threads"])
        elif "exit" in message:
            child = self._children.pop(message["exit"], None)
            if child is not None and not child.status.done():
                child.status.set_result(message["status"])
        elif "refused" in message:
            asked = self._asked.pop(message["id"], None)
            if asked is not None and not asked.done():
                asked.set_exception(ConnectionError(f"the warm parent cannot fork: {message['refused']}"))
        else:
            self._welcome(Forked(message["pid"], descriptors[0]), self._asked.pop(message["id"], None))

    def _welcome(self, child: Forked, asked: asyncio.Future[Forked] | None) -> None:
        os.set_inheritable(child.pidfd, False)
        if asked is None or asked.done():
            _end_unwanted(child)
            return
        self._children[child.pid] = child
        asked.set_result(child)

    def _lose(self) -> None:
        """The warm parent died or hangs: tell those who wait, and have another soon."""
        self._hang_up()
        lived_s = time.monotonic() - self._started_at
        self._early_ends = 0 if lived_s > LIVED_LONG_S else self._early_ends + 1
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            log.warning("warm parent ended status=%s lived_s=%.1f", self._process.returncode, lived_s)
            self._process = None
        if self._loop is not None:
            wait_s = min(RESTART_MAX_S, RESTART_FIRST_S * 4**self._early_ends)
            self._retry = self._loop.call_later(wait_s, self._start_again)

    def _start_again(self) -> None:
        try:
            self.start()
        except OSError as err:
            log.warning("warm parent cannot be started problem=%s", err.strerror)
            self._lose()

    def _hang_up(self) -> None:
        if self._line is not None:
            if self._loop is not None:
                with contextlib.suppress(ValueError):
                    self._loop.remove_reader(self._line)
            self._line.close()
            self._line = None
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(ConnectionError("the warm parent ended"))
        for child in self._children.values():
            if not child.status.done():
                child.status.set_result(None)
        self._children.clear()


def _end_unwanted(child: Forked) -> None:
    """Whoever asked for this child has left, and closed its pipes."""
    signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
    os.close(child.pidfd)

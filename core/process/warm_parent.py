"""The warm parent, the zygote's own process: Python with everything imported, which forks a child on request.

`python -m core.process.warm_parent --line <fd> --preload <module> …`. It is executed afresh, never forked from the
core, and has one thread and no secret. Over the line, a socket that keeps messages apart, it is asked with an entry
(JSON) and three descriptors for the child's stdin, stdout and stderr; it answers with the pid and a pidfd, and later
with the exit status. When the line ends it ends its children and itself.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import Any

import psutil

from core.process.inside import PR_SET_CHILD_SUBREAPER, Entry, begin
from core.process.sandbox import set_process_option

MESSAGE_BYTES_MAX = 128 * 1024
LAST_GRACE_S, LAST_WAIT_S = 5.0, 2.0


class WarmParent:
    """Forks, reaps and reports; owns the line and every child's pidfd."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._poll = select.poll()
        self._poll.register(line, select.POLLIN)
        self._pids: dict[int, int] = {}
        self._strays: set[int] = set()

    def serve(self) -> Entry | None:
        """Serve until the line ends, then None; in each forked child it returns that child's entry."""
        while True:
            for number, _ in self._poll.poll():
                if number in self._pids:
                    self._bury(number)
                    continue
                entry, goes_on = self._answer()
                if entry is not None or not goes_on:
                    return entry

    def _answer(self) -> tuple[Entry | None, bool]:
        message, descriptors = self._heard()
        if not message:
            self._end_all()
            return None, False
        request = json.loads(message)
        try:
            pid = os.fork()
        except OSError as err:
            self._tell({"id": request["id"], "refused": str(err.strerror)}, [])
        else:
            if pid == 0:
                self._leave(descriptors)
                return Entry.from_json(request["entry"]), True
            pidfd = os.pidfd_open(pid)
            self._watch(pid, pidfd)
            self._tell({"id": request["id"], "pid": pid}, [pidfd])
        for descriptor in descriptors:
            os.close(descriptor)
        return None, True

    def _heard(self) -> tuple[bytes, list[int]]:
        """The next request; nothing when the core is gone, be it with messages that it never read."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._line, MESSAGE_BYTES_MAX, 3)
        except ConnectionError:
            return b"", []
        return message, descriptors

    def _leave(self, descriptors: list[int]) -> None:
        """In the child: nothing of the parent stays open, and its signals are a fresh program's."""
        os.setsid()
        self._line.close()
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        gc.enable()

    def _watch(self, pid: int, pidfd: int) -> None:
        self._pids[pidfd] = pid
        self._poll.register(pidfd, select.POLLIN)

    def _bury(self, pidfd: int) -> None:
        pid = self._pids.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        # While the dead leader is not reaped nobody else can have its group's number.
        _kill_group(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        self._adopt()
        if pid in self._strays:
            self._strays.discard(pid)
            return
        self._tell({"exit": pid, "status": os.waitstatus_to_exitcode(status)}, [])

    def _adopt(self) -> None:
        """End what a dead child left behind: it came to us, since children keep their own while they live."""
        for orphan in psutil.Process().children():
            if orphan.pid in self._pids.values():
                continue
            try:
                pidfd = os.pidfd_open(orphan.pid)
                os.kill(orphan.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self._strays.add(orphan.pid)
            self._watch(orphan.pid, pidfd)

    def _tell(self, message: dict[str, Any], descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._line, [json.dumps(message).encode()], descriptors)
        except OSError:
            return  # The core is gone; the next read of the line says so.

    def _end_all(self) -> None:
        """The core is gone: its children have read end-of-file; those that do not heed it are made to."""
        self._poll.unregister(self._line)
        for number, wait_s in ((signal.SIGTERM, LAST_GRACE_S), (signal.SIGKILL, LAST_WAIT_S)):
            for pid in self._pids.values():
                _kill_group(pid, number)
            deadline = time.monotonic() + wait_s
            while self._pids and time.monotonic() < deadline:
                for ready, _ in self._poll.poll(100):
                    if ready in self._pids:
                        self._bury(ready)


def _kill_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _preload(names: list[str]) -> dict[str, str]:
    failed = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as err:
            failed[name] = f"{type(err).__name__}: {err}"
    return failed


def main(arguments: list[str]) -> None:
    """Serve until the core is gone; in a child, run the connector instead."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--line", type=int, required=True)
    parser.add_argument("--preload", nargs="*", default=[])
    asked = parser.parse_args(arguments)
    line = socket.socket(fileno=asked.line)
    failed = _preload(asked.preload)
    # What a dead child abandoned comes here, where it is ended, and not to the system's first process.
    set_process_option(PR_SET_CHILD_SUBREAPER, 1)
    gc.collect()
    gc.disable()
    gc.freeze()
    ready = {"ready": os.getpid(), "failed": failed, "threads": threading.active_count()}
    try:
        line.send(json.dumps(ready).encode())
    except ConnectionError:
        return  # The core ended while we warmed up; there are no children yet.
    entry = WarmParent(line).serve()
    if entry is not None:
        begin(entry)


if __name__ == "__main__":
    main(sys.argv[1:])

"""What children print, kept in Me/logs/<id>.log: whole lines, without secrets, never more than a set amount.

A file is rotated by size; a line is cut at a set length; and a child that floods is thinned out before it can push
everything else out of its own log.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.model.clock import Clock, iso
from core.model.errors import NotFound
from core.model.ids import is_service_id

log = logging.getLogger(__name__)

LINE_BYTES_MAX = 8 * 1024
STAMP_BYTES = 40
SECRET_CHARS_MIN, SECRET_BYTES_MAX = 6, 4096
LEFT_OUT = "(a line that held this service's token or key is left out)"
CUT_MARK = " … (cut)"
LAST_LINES_MAX, LAST_LINE_CHARS_MAX = 20, 300
TAIL_BYTES_MAX = 512 * 1024
_LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) (?=[^\s:]+: )")


@dataclass(frozen=True)
class LogLimits:
    """One service's share of the disk: `files_max` files of `file_bytes_max`, filled at `bytes_per_s` after a burst."""

    file_bytes_max: int = 1024 * 1024
    files_max: int = 3
    burst_bytes: int = 256 * 1024
    bytes_per_s: float = 16 * 1024


class Redaction:
    """Knows one child's secrets and keeps them out of a line. A line with its token or key goes as a whole:
    it may be the greeting, echoed, with more in it."""

    def __init__(self, *, decisive: tuple[str, ...], others: tuple[str, ...] = ()) -> None:
        self._decisive = tuple(s for s in decisive if s)
        self._others = tuple(sorted((s for s in others if len(s) >= SECRET_CHARS_MIN), key=len, reverse=True))
        self.longest = min(SECRET_BYTES_MAX, max((len(s.encode()) for s in self._decisive + self._others), default=1))

    def __repr__(self) -> str:
        return f"Redaction({len(self._decisive) + len(self._others)} secrets)"

    def clean(self, line: str) -> str:
        """The line as it may be shown."""
        if any(secret in line for secret in self._decisive):
            return LEFT_OUT
        for secret in self._others:
            line = line.replace(secret, "(secret)")
        return line


class Lines:
    """Whole lines out of a stream of bytes, redacted and cut; `feed` gives those completed."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._keep = LINE_BYTES_MAX + redaction.longest
        self._pending = bytearray()
        self._is_cut = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        lines = []
        *ended, last = data.split(b"\n")
        for piece in ended:
            self._hold(piece)
            lines.append(self._take())
        self._hold(last)
        return lines

    def rest(self) -> list[str]:
        """The unfinished line, if there is one."""
        return [self._take()] if self._pending else []

    def _hold(self, piece: bytes) -> None:
        room = self._keep - len(self._pending)
        self._pending += piece[:room]
        self._is_cut = self._is_cut or len(piece) > room

    def _take(self) -> str:
        text = self._redaction.clean(self._pending.decode("utf-8", "replace").rstrip("\r"))
        if self._is_cut:
            # The cut may have gone through a secret: what could be its beginning is dropped too.
            text = text[: -self._redaction.longest]
        if self._is_cut or len(text) > LINE_BYTES_MAX:
            text = text[:LINE_BYTES_MAX] + CUT_MARK
        self._pending, self._is_cut = bytearray(), False
        if text.isprintable():
            return text
        return "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in text)


class ServiceLog:
    """One service's file; written by the loop only. `last_lines` are the latest of stderr, for error messages."""

    def __init__(self, path: Path, *, clock: Clock, limits: LogLimits) -> None:
        self._path = path
        self._clock = clock
        self._limits = limits
        self._file: BinaryIO | None = None
        self._size = 0
        self._allowance = float(limits.burst_bytes)
        self._filled_at = clock.monotonic()
        self._left_out = 0
        self._is_failing = False
        self._last: collections.deque[str] = collections.deque(maxlen=LAST_LINES_MAX)

    def write(self, source: str, line: str) -> None:
        """Add one line; `source` is out, err or core. Beyond the allowance it is only counted.

        What comes by stderr as the SDK writes it, `WARNING name: …`, stands under its level, all else under `out`.
        """
        if source == "err" and line.strip():
            self._last.append(line[:LAST_LINE_CHARS_MAX])
        if not self._is_allowed(len(line) + STAMP_BYTES):
            self._left_out += 1
            return
        self._tell_left_out()
        self._append(*_marked(source, line))

    def last_lines(self, count: int) -> list[str]:
        """The latest lines of stderr since `forget`, oldest first."""
        return list(self._last)[-count:]

    def forget(self) -> None:
        """A new child begins: the last one's words are not its own."""
        self._last.clear()

    def close(self) -> None:
        """Note what was left out and close the file; a later line opens it again."""
        self._tell_left_out()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _tell_left_out(self) -> None:
        if self._left_out:
            self._append("core", f"{self._left_out} lines left out")
            self._left_out = 0

    def _is_allowed(self, size: int) -> bool:
        now = self._clock.monotonic()
        self._allowance += (now - self._filled_at) * self._limits.bytes_per_s
        self._allowance = min(self._allowance, float(self._limits.burst_bytes))
        self._filled_at = now
        if self._allowance < size:
            return False
        self._allowance -= size
        return True

    def _append(self, mark: str, line: str) -> None:
        entry = f"{iso(self._clock.now())} {mark} | {line}\n".encode()
        try:
            if self._file is None:
                self._open()
            if self._size + len(entry) > self._limits.file_bytes_max:
                self._rotate()
            assert self._file is not None
            self._file.write(entry)
            self._size += len(entry)
            self._is_failing = False
        except OSError as err:
            if not self._is_failing:
                log.warning("service log cannot be written path=%s problem=%s", self._path, err.strerror)
            self._is_failing = True

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        self._file = os.fdopen(os.open(self._path, flags, 0o600), "ab", buffering=0)
        self._size = self._file.tell()

    def _rotate(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        for number in range(self._limits.files_max - 1, 0, -1):
            older = self._numbered(number - 1)
            with contextlib.suppress(FileNotFoundError):
                older.replace(self._numbered(number))
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")


def _marked(source: str, line: str) -> tuple[str, str]:
    """Under what a line stands, and the line without it."""
    if source != "err":
        return source, line
    level = _LEVEL.match(line)
    return ("out", line) if level is None else (level[1], line[level.end() :])


class ChildLogs:
    """The logs of all services, in one folder of the core's own."""

    def __init__(self, folder: Path, *, clock: Clock, limits: LogLimits | None = None) -> None:
        self._folder = folder
        self._clock = clock
        self._limits = limits or LogLimits()
        self._logs: dict[str, ServiceLog] = {}

    def of(self, service_id: str) -> ServiceLog:
        """The log of one service, made when first asked for."""
        if service_id not in self._logs:
            self._logs[service_id] = ServiceLog(self._path(service_id), clock=self._clock, limits=self._limits)
        return self._logs[service_id]

    def tail(self, service_id: str, lines: int) -> list[str]:
        """The last `lines` lines, oldest first; none when nothing was ever printed. Blocks while it reads."""
        try:
            with self._path(service_id).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL_BYTES_MAX))
                text = file.read(TAIL_BYTES_MAX).decode("utf-8", "replace")
        except FileNotFoundError:
            return []
        return text.splitlines()[-lines:] if lines > 0 else []

    def erase(self, service_id: str) -> None:
        """Remove what a service ever printed: it is uninstalled with all it left."""
        if each := self._logs.pop(service_id, None):
            each.close()
        path = self._path(service_id)
        for file in (path, *path.parent.glob(f"{path.name}.*")):
            file.unlink(missing_ok=True)

    def close(self) -> None:
        """Close every file."""
        for each in self._logs.values():
            each.close()

    def _path(self, service_id: str) -> Path:
        if not is_service_id(service_id):
            raise NotFound(f"{service_id[:80]!r} is no service")
        return self._folder / f"{service_id}.log"

"""Having feeds read by the reader's process, each within a time; one that takes too long ends that process only."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import msgspec

from connectors.feeds import reader
from core.model.errors import Broken

READ_S = 20.0
# After a body of this size the process is ended: its memory is free before the answer takes its own.
LARGE_BYTES = 1024 * 1024
END_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Document:
    """One fetched feed: its `entries` as the source wrote them, `moments` when each was published.

    `notes` say what is wrong with the document, `refused` are the names of entries too large for a record, each with
    the `reason`.
    """

    format: str
    title: str = ""
    link: str = ""
    entries: tuple[dict[str, Any], ...] = ()
    moments: tuple[float | None, ...] = ()
    notes: tuple[str, ...] = ()
    refused: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class WebPage:
    """What came is no feed; a page may name some as its `alternates`."""

    alternates: tuple[str, ...]


class Reading:
    """The reader's process, started when first needed and again after it was ended; one feed at a time, any thread."""

    def __init__(self, *, read_s: float = READ_S) -> None:
        self._read_s = read_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._end()

    def document(self, body: bytes, *, content_type: str, url: str) -> Document | WebPage:
        """The feed in `body`, or what else it is; raises Broken when it cannot be read in time."""
        about = msgspec.json.encode({"content_type": content_type})
        with self._lock:
            answer = self._asked(about, body)
            if len(body) > LARGE_BYTES:
                self._end()
        try:
            found = msgspec.json.decode(answer)
        except msgspec.MsgspecError as err:
            raise Broken("the feed holds what is no JSON, such as a number without an end") from err
        if "alternates" in found:
            return WebPage(alternates=tuple(found["alternates"]))
        if "fault" in found:
            raise Broken("the feed is too large or too deep to be read")
        with contextlib.suppress(ValueError):
            found["link"] = urljoin(url, found["link"])
        return msgspec.convert(found, Document)

    def _asked(self, about: bytes, body: bytes) -> bytes:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(self._read_s, process.kill)
        timer.daemon = True
        timer.start()
        try:
            reader.put(process.stdin, about)
            reader.put(process.stdin, body)
            answer = reader.take(process.stdout)
        except OSError:
            answer = None
        finally:
            timer.cancel()
        if answer is None:
            self._end()
            raise Broken(f"the feed could not be read within {self._read_s:g} s, or it needs too much memory")
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            try:
                self._process = subprocess.Popen(
                    [sys.executable, str(Path(reader.__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            except OSError as err:
                raise Broken(f"the process that reads feeds cannot be started: {err.strerror}") from err
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

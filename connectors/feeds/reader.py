"""A process of its own that reads feeds: what a stranger wrote may cost it its time or memory, nobody else's.

It is run as a script by `reading.py`, inside the same sandbox. One request on stdin, one answer on stdout, each behind
its length in four bytes; the first half of a request is JSON, the second the feed's bytes. It stands on feedparser
and the standard library alone, so that it starts quickly.
"""

from __future__ import annotations

import json
import logging
import sys
import types
from pathlib import Path
from typing import IO, Any

if __name__ == "__main__":
    # The sandbox opens this folder and not those above it, so the packages are named here instead of being found.
    HERE = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    for _name, _folder in (("connectors", HERE.parent), ("connectors.feeds", HERE)):
        _package = types.ModuleType(_name)
        _package.__path__ = [str(_folder)]
        sys.modules[_name] = _package

from connectors.feeds import json_feed, web_page, xml_feed

if sys.platform != "win32":
    import resource

# Enough for the largest feed that is fetched; with the connector's own it stays below limits.memory_mb.
MEMORY_BYTES_MAX = 320 * 1024 * 1024
ENTRIES_MAX = 5000
ENTRY_BYTES_MAX = 4 * 1024 * 1024
ENTRY_VALUES_MAX = 20_000
# An empty list is two letters in a document and thirty times as much in memory: values are counted, not bytes alone.
VALUES_MAX = 500_000
ANSWER_BYTES_MAX = 40 * 1024 * 1024
PART_BYTES_MAX = 64 * 1024 * 1024
NAMES = ("id", "link", "url", "external_url", "title", "published", "date_published")
NAME_LETTERS_MAX = 4096
_SPACE = b" \t\r\n\xef\xbb\xbf"


def read(body: bytes, *, content_type: str) -> bytes:
    """The feed in `body` as JSON, its faults as notes; or the feeds that a web page names, as `alternates`."""
    if body.lstrip(_SPACE).startswith(b"{"):
        found = json_feed.parse(body)
    else:
        found = xml_feed.parse(body, content_type=content_type)
    if found is None:
        return _encoded({"alternates": web_page.alternates(body, content_type=content_type)})
    form, head, entries, moments, notes = found
    kept = Kept()
    for entry, moment in zip(entries[:ENTRIES_MAX], moments, strict=False):
        if not kept.add(entry, moment):
            break
    if kept.count < len(entries):
        notes = [*notes, f"it has {len(entries)} entries; the first {kept.count} are kept"]
    about = {
        "format": form,
        "title": head.get("title", ""),
        "link": head.get("link", ""),
        "notes": notes,
        "moments": kept.moments,
        "refused": kept.refused,
    }
    return b'%b,"entries":[%b]}' % (_encoded(about)[:-1], b",".join(kept.parts))


class Kept:
    """Entries as JSON, as many as one answer may hold; those too large for a record are `refused` with the reason."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.moments: list[float | None] = []
        self.refused: list[dict[str, Any]] = []
        self.count = 0
        self._values = 0
        self._bytes = 0

    def add(self, entry: dict[str, Any], moment: float | None) -> bool:
        """Take an entry; False when it has no place any more."""
        values = _count(entry, most=ENTRY_VALUES_MAX + 1)
        part = _encoded(entry) if values <= ENTRY_VALUES_MAX else b""
        if values > ENTRY_VALUES_MAX or len(part) > ENTRY_BYTES_MAX:
            size = f"{len(part)} bytes" if part else f"more than {ENTRY_VALUES_MAX} values"
            self.refused.append({**_named(entry), "reason": f"the entry has {size}"})
        elif self._values + values > VALUES_MAX or self._bytes + len(part) > ANSWER_BYTES_MAX:
            return False
        else:
            self._values += values
            self._bytes += len(part)
            self.parts.append(part)
            self.moments.append(moment)
        self.count += 1
        return True


def _count(value: Any, *, most: int) -> int:
    """How many values a JSON document holds, counted as far as `most`."""
    waiting, count = [value], 0
    while waiting and count < most:
        found = waiting.pop()
        count += 1
        if isinstance(found, dict):
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
    return count


def _named(entry: dict[str, Any]) -> dict[str, Any]:
    """What an entry is known by, within its bounds."""
    known = {name: entry.get(name) for name in NAMES}
    return {n: v for n, v in known.items() if isinstance(v, (str, int)) and len(str(v)) <= NAME_LETTERS_MAX}


def _encoded(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more."""
    while (head := take(requests)) is not None and (body := take(requests)) is not None:
        about = json.loads(head)
        try:
            answer = read(body, content_type=about["content_type"])
        except Exception as err:
            # The edge of the process: the next feed is read all the same, the log gets the reason.
            logging.getLogger(__name__).exception("a feed could not be read")
            answer = _encoded({"fault": type(err).__name__})
        put(answers, answer)


def take(stream: IO[bytes], *, most: int = PART_BYTES_MAX) -> bytes | None:
    """The next part from a pipe; None at its end, or where it is larger than `most`."""
    length = stream.read(4)
    size = int.from_bytes(length, "big")
    if len(length) < 4 or size > most:
        return None
    part = stream.read(size)
    return part if len(part) == size else None


def put(stream: IO[bytes], part: bytes) -> None:
    """Send one part into a pipe."""
    stream.write(len(part).to_bytes(4, "big") + part)
    stream.flush()


def _main() -> None:
    if sys.platform != "win32":
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, hard))
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    _main()

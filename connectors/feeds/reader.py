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

MEMORY_BYTES_MAX = 1536 * 1024 * 1024
ENTRIES_MAX = 5000
_SPACE = b" \t\r\n\xef\xbb\xbf"


def read(body: bytes, *, content_type: str) -> dict[str, Any]:
    """The feed in `body` as plain JSON, its faults as notes; or the feeds that a web page names, as `alternates`."""
    if body.lstrip(_SPACE).startswith(b"{"):
        found = json_feed.parse(body)
    else:
        found = xml_feed.parse(body, content_type=content_type)
    if found is None:
        return {"alternates": web_page.alternates(body, content_type=content_type)}
    form, head, entries, moments, notes = found
    if len(entries) > ENTRIES_MAX:
        notes = [*notes, f"it has {len(entries)} entries; the first {ENTRIES_MAX} are kept"]
    return {
        "format": form,
        "title": head.get("title", ""),
        "link": head.get("link", ""),
        "entries": entries[:ENTRIES_MAX],
        "moments": moments[:ENTRIES_MAX],
        "notes": notes,
    }


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more."""
    while (head := take(requests)) is not None and (body := take(requests)) is not None:
        about = json.loads(head)
        try:
            document = read(body, content_type=about["content_type"])
        except Exception as err:
            # The edge of the process: the next feed is read all the same, the log gets the reason.
            logging.getLogger(__name__).exception("a feed could not be read")
            document = {"fault": type(err).__name__}
        put(answers, json.dumps(document).encode())


def take(stream: IO[bytes]) -> bytes | None:
    """The next part from a pipe, None at its end."""
    length = stream.read(4)
    if len(length) < 4:
        return None
    part = stream.read(int.from_bytes(length, "big"))
    return part if len(part) == int.from_bytes(length, "big") else None


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

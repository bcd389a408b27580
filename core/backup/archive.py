"""What an archive holds and how it is checked: names that lead nowhere else, and a last entry that lists them all.

Exports and backups are folders of files, whole in one `.tar`, `.tar.gz` or `.zip`, or as they are. The last entry,
`contents.jsonl`, has a line for each of the others with its size and SHA-256, and a line with their number at its
end: an archive that was cut anywhere lacks it, and one that was changed contradicts it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import msgspec

from core.model.errors import BodyTooLarge, FileDamaged

CONTENTS = "contents.jsonl"
CHUNK_BYTES = 256 * 1024
ENTRIES_MAX = 2_000_000
NAME_CHARS_MAX = 1000
NAME_PARTS_MAX = 40
CONTENTS_BYTES_MAX = 1024 * 1024 * 1024
FAULTS_TOLD_MAX = 20

# Half a surrogate pair stands for a byte that is no letter: such a name cannot be written down in JSON.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


class Sink(Protocol):
    """Where the files of an archive go, one after the other."""

    def add(self, name: str, chunks: Iterable[bytes], *, size: int) -> None:
        """Keep a file of exactly `size` bytes under `name`."""


class Item(Protocol):
    """One file of an archive that is being read; its bytes can be had once, before the next item is asked for."""

    name: str
    size: int

    def __iter__(self) -> Iterator[bytes]:
        """The bytes in pieces."""


def json_text(document: Any) -> bytes:
    """A document as it stands in a file that a person may open."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def add_json(sink: Sink, name: str, document: Any) -> None:
    """Keep a document as a file of its own."""
    text = json_text(document)
    sink.add(name, [text], size=len(text))


class Listed(msgspec.Struct, frozen=True):
    """One line of the contents."""

    name: str
    size: int
    sha256: str


class _End(msgspec.Struct, frozen=True):
    entries: int


def damaged(what: str) -> FileDamaged:
    """The error for an archive that is not what it should be; it is only read, and nothing is kept of it."""
    return FileDamaged(what, remedy="Use another copy of it.")


def checked_name(name: str) -> str:
    """`name` itself; FileDamaged unless it is a relative path that stays below where it is unpacked."""
    parts = name.split("/")
    is_good = (
        0 < len(name) <= NAME_CHARS_MAX
        and len(parts) <= NAME_PARTS_MAX
        and not _FORBIDDEN.search(name)
        and not any(part in ("", ".", "..") or part.endswith(":") for part in parts)
    )
    if not is_good:
        raise FileDamaged(
            f"the archive holds {name[:80]!a}, which is no name of a file in it",
            remedy="Nothing was unpacked. Use an archive that Locker made.",
        )
    return name


class Contents:
    """What was seen of an archive's entries while they were written or read."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, bytes]] = {}

    def watched(self, name: str, chunks: Iterable[bytes], *, size: int) -> Iterator[bytes]:
        """The same pieces; when they have passed, the entry is noted. FileDamaged unless they are `size` bytes."""
        if name in self._seen:
            raise damaged(f"the archive holds {name} twice")
        if len(self._seen) >= ENTRIES_MAX:
            raise BodyTooLarge(f"the archive has more than {ENTRIES_MAX} files")
        digest, left = hashlib.sha256(), size
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                break
            digest.update(chunk)
            yield chunk
        if left:
            raise damaged(f"{name} is not of the {size} bytes that it was said to have")
        self._seen[name] = (size, digest.digest())

    def lines(self) -> Iterator[bytes]:
        """The contents as they are written."""
        for name, (size, digest) in self._seen.items():
            yield msgspec.json.encode(Listed(name, size, digest.hex())) + b"\n"
        yield msgspec.json.encode(_End(len(self._seen))) + b"\n"

    def faults(self, lines: Iterable[bytes]) -> list[str]:
        """How what was seen differs from what `lines` say: a sentence each, the first few; none where all is well."""
        unseen = dict(self._seen)
        said: list[str] = []
        number, end = 0, None
        for line in lines:
            if end is not None:
                return ["the contents go on behind their end"]
            try:
                listed = _line(line)
            except (msgspec.MsgspecError, ValueError):
                return ["the contents cannot be read"]
            if isinstance(listed, _End):
                end = listed.entries
                continue
            number += 1
            seen = unseen.pop(listed.name, None)
            if seen is None:
                said.append(f"{listed.name} is missing")
            elif seen != (listed.size, bytes.fromhex(listed.sha256)):
                said.append(f"{listed.name} is not what it was")
        if end != number:
            return ["the contents break off"]
        said += [f"{name} was added" for name in unseen]
        return said[:FAULTS_TOLD_MAX]


def _line(line: bytes) -> Listed | _End:
    document = msgspec.json.decode(line, type=dict[str, int | str])
    if "entries" in document:
        return msgspec.convert(document, _End)
    listed = msgspec.convert(document, Listed)
    bytes.fromhex(listed.sha256)
    return listed


def lines_of(
    chunks: Iterable[bytes], *, line_bytes_max: int, passed_over: Callable[[], None] | None = None
) -> Iterator[bytes]:
    """The lines in these pieces, without their ends.

    One that is longer than any of ours is `passed_over`, which is told, or else raises BodyTooLarge.
    """

    def fits(line_bytes: int) -> bool:
        if line_bytes <= line_bytes_max:
            return True
        if passed_over is None:
            raise BodyTooLarge(f"a line has more than {line_bytes_max} bytes")
        passed_over()
        return False

    begun: list[bytes] = []  # Put together once, at its end: a long line comes in many pieces.
    size, is_passed_over = 0, False
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        last = others.pop() if others else None
        if not is_passed_over:
            begun.append(first)
            size += len(first)
            is_passed_over = not fits(size)
        if last is not None:
            if not is_passed_over:
                yield b"".join(begun)
            yield from (line for line in others if fits(len(line)))
            begun, size = [last], len(last)
            is_passed_over = not fits(size)
        if is_passed_over:
            begun = []
    if any(begun):
        yield b"".join(begun)

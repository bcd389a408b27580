"""What SQLite's write-ahead log holds, read from its bytes: which commits are whole, what lies after them, and why.

SQLite itself stops at the first frame that does not fit and says nothing. This walk says whether what follows is an
unfinished write (a torn tail), a loss (damage), or leftovers of an earlier generation of the log.

    header   32 bytes: magic, version, page size, checkpoint number, two salts, checksum
    frame    24 bytes: page number, pages after the commit (0: no commit), the salts, checksum; then the page

The checksum is cumulative: each frame's goes on from that of the frame before. As every frame carries its own, a
frame after a broken one can still be told to be intact.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from enum import Enum

import msgspec

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
PAGE_BYTES_MIN = 512
PAGE_BYTES_MAX = 65536

_MAGIC = 0x377F0682  # The lowest bit says that checksums read the words as big-endian.
_VERSION = 3007000
_WORD = 0xFFFFFFFF
_PAIRS = {False: struct.Struct("<II"), True: struct.Struct(">II")}
_header = struct.Struct(">IIII8sII").unpack
_frame = struct.Struct(">II8sII").unpack

Sums = tuple[int, int]
ReadAt = Callable[[int, int], bytes]


class Verdict(Enum):
    """What the log's end is: nothing lost, an unfinished or damaged last commit, or commits lost before others."""

    WHOLE = "whole"
    TORN = "torn"
    DAMAGED = "damaged"


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One page's new content at `offset`; `pages` is the database's size where the frame ends a commit, else 0.

    `is_ours`: it belongs to this generation of the log. `is_intact`: its content is what was written.
    """

    offset: int
    page: int
    pages: int
    is_ours: bool
    is_intact: bool


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """What a walk found: frames, how many of them SQLite counts, and what is lost.

    `valid` frames make `commits` whole commits; the `tail` after them is not counted by SQLite. `lost_bytes` reach
    from there to the end of this generation.
    """

    verdict: Verdict
    page_bytes: int
    frames: tuple[Frame, ...]
    valid: int
    commits: int
    lost_bytes: int

    @property
    def tail(self) -> tuple[Frame, ...]:
        """The frames of this generation that SQLite does not count."""
        return tuple(frame for frame in self.frames[self.valid :] if frame.is_ours)


class _Start(msgspec.Struct, frozen=True):
    """What the header says, or what the frames prove that it said."""

    page_bytes: int
    big_endian: bool
    salts: bytes
    sums: Sums
    is_valid: bool


def checksum(data: bytes, sums: Sums, *, big_endian: bool) -> Sums:
    """SQLite's checksum of `data`, going on from `sums`."""
    first, second = sums
    for left, right in _PAIRS[big_endian].iter_unpack(data):
        first = (first + left + second) & _WORD
        second = (second + right + first) & _WORD
    return first, second


def walk(read_at: ReadAt, size: int, *, page_bytes: int) -> Walk:
    """What a log of `size` bytes holds; `read_at(offset, length)` gives its bytes, `page_bytes` is the database's.

    A log that is cut within its header holds nothing. A header that does not fit its checksum is damage where frames
    follow: SQLite then counts none of them.
    """
    if size <= HEADER_BYTES:
        return _nothing(page_bytes, lost_bytes=size if 0 < size < HEADER_BYTES else 0)
    start = _start(read_at, size, page_bytes)
    if start is None:
        return _nothing(page_bytes, lost_bytes=size, verdict=Verdict.DAMAGED)
    frames = tuple(_frames(read_at, size, start))
    valid, commits = _counted(frames) if start.is_valid else (0, 0)
    rest = (size - HEADER_BYTES) % (FRAME_HEADER_BYTES + start.page_bytes)
    ours = [number for number, frame in enumerate(frames) if frame.is_ours and number >= valid]
    return Walk(
        verdict=_verdict(frames, ours, rest) if start.is_valid else Verdict.DAMAGED,
        page_bytes=start.page_bytes,
        frames=frames,
        valid=valid,
        commits=commits,
        lost_bytes=(ours[-1] + 1 - valid if ours else 0) * (FRAME_HEADER_BYTES + start.page_bytes) + rest,
    )


def _nothing(page_bytes: int, *, lost_bytes: int, verdict: Verdict = Verdict.TORN) -> Walk:
    verdict = verdict if lost_bytes else Verdict.WHOLE
    return Walk(verdict=verdict, page_bytes=page_bytes, frames=(), valid=0, commits=0, lost_bytes=lost_bytes)


def _start(read_at: ReadAt, size: int, page_bytes: int) -> _Start | None:
    """The header, or the one reading of a damaged header that its first frame agrees with; None without any."""
    raw = read_at(0, HEADER_BYTES)
    magic, version, written_bytes, _, salts, *stored = _header(raw)
    sums = stored[0], stored[1]
    big_endian = bool(magic & 1)
    computed = checksum(raw[:24], (0, 0), big_endian=big_endian)
    if magic & ~1 == _MAGIC and version == _VERSION and _is_page_size(written_bytes) and computed == sums:
        return _Start(written_bytes, big_endian, salts, sums, True)
    for one_bytes in dict.fromkeys((page_bytes, written_bytes)):
        if not _is_page_size(one_bytes) or size < HEADER_BYTES + FRAME_HEADER_BYTES + one_bytes:
            continue
        first = read_at(HEADER_BYTES, FRAME_HEADER_BYTES + one_bytes)
        for order in (False, True):
            for seed in (sums, checksum(raw[:24], (0, 0), big_endian=order)):
                if _sums_of(first, seed, big_endian=order) == _frame(first[:FRAME_HEADER_BYTES])[3:]:
                    return _Start(one_bytes, order, first[8:16], seed, False)
    return None


def _frames(read_at: ReadAt, size: int, start: _Start) -> Iterator[Frame]:
    """All whole frames in the file. One that goes on from a frame of ours is ours even where its salts are not."""
    length = FRAME_HEADER_BYTES + start.page_bytes
    before, before_is_ours = start.sums, True
    for offset in range(HEADER_BYTES, size - length + 1, length):
        raw = read_at(offset, length)
        page, pages, salts, *stored = _frame(raw[:FRAME_HEADER_BYTES])
        has_salts = salts == start.salts
        goes_on = (has_salts or before_is_ours) and _sums_of(raw, before, big_endian=start.big_endian) == tuple(stored)
        is_ours = has_salts or (before_is_ours and goes_on)
        yield Frame(offset, page, pages, is_ours, has_salts and goes_on and page > 0)
        before, before_is_ours = (stored[0], stored[1]), is_ours


def _sums_of(raw: bytes, before: Sums, *, big_endian: bool) -> Sums:
    """What a frame's checksum must be, given that of the frame before."""
    sums = checksum(raw[:8], before, big_endian=big_endian)
    return checksum(raw[FRAME_HEADER_BYTES:], sums, big_endian=big_endian)


def _counted(frames: tuple[Frame, ...]) -> tuple[int, int]:
    """How many frames up to the last whole commit before the first broken frame, and how many commits they make."""
    valid = commits = 0
    for number, frame in enumerate(frames, start=1):
        if not frame.is_intact:
            break
        if frame.pages:
            valid, commits = number, commits + 1
    return valid, commits


def _verdict(frames: tuple[Frame, ...], ours: list[int], rest: int) -> Verdict:
    """An unfinished last commit and a damaged last one cannot be told apart: both are a torn tail.

    What shows a loss is a frame that was written after the commit which is broken.
    """
    if not ours:
        return Verdict.TORN if rest else Verdict.WHOLE
    ends = [number for number in ours if frames[number].pages]
    if not ends or ends[0] == ours[-1]:
        return Verdict.TORN
    if len(ends) > 1:
        return Verdict.DAMAGED
    return Verdict.DAMAGED if frames[ends[0] + 1].is_intact else Verdict.TORN


def _is_page_size(number: int) -> bool:
    return PAGE_BYTES_MIN <= number <= PAGE_BYTES_MAX and number & (number - 1) == 0

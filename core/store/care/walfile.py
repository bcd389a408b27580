"""What SQLite's write-ahead log holds, read from its bytes: which commits are whole, what lies after them, and why.

SQLite itself stops at the first frame that does not fit and says nothing. This walk says whether what follows is an
unfinished write (a torn tail), a loss (damage), or leftovers of an earlier generation of the log.

    header   32 bytes: magic, version, page size, checkpoint number, two salts, checksum
    frame    24 bytes: page number, pages after the commit (0: no commit), the salts, checksum; then the page

The checksum is cumulative: each frame's goes on from that of the frame before. As every frame carries its own, a
frame after a broken one can still be told to be intact; and as it can be reckoned backwards, the first frame proves
what the header was: all of it is known but the checkpoint number, which is one word less than the checksum has.
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
_SALT = 0x100000000
# The first salt grows by one with each generation of a log. A frame farther behind is none of an earlier one.
_GENERATIONS_MAX = 1 << 20
_PAGE_SIZES = tuple(1 << power for power in range(9, 17))
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

    `is_ours`: it belongs to this generation of the log. `is_intact`: its content is what was written. `is_noise`: it is
    of no generation, so that something else was written over what stood there, or nothing was ever written.
    """

    offset: int
    page: int
    pages: int
    is_ours: bool
    is_intact: bool
    is_noise: bool = False


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """What a walk found: frames, how many of them SQLite counts, and what is lost.

    `valid` frames make `commits` whole commits; the `tail` after them is not counted by SQLite. `lost_bytes` reach
    from there to the end of this generation. `is_proven`: the frames are those of the last generation for certain.
    """

    verdict: Verdict
    page_bytes: int
    frames: tuple[Frame, ...]
    valid: int
    commits: int
    lost_bytes: int
    is_proven: bool = True

    @property
    def tail(self) -> tuple[Frame, ...]:
        """The frames of this generation that SQLite does not count."""
        return tuple(frame for frame in self.frames[self.valid :] if frame.is_ours)

    @property
    def broken(self) -> tuple[int, ...]:
        """The numbers of the frames not counted by SQLite that do not prove to be what was written."""
        rest = enumerate(self.frames[self.valid :], start=self.valid)
        return tuple(number for number, frame in rest if (frame.is_ours or frame.is_noise) and not frame.is_intact)


class _Start(msgspec.Struct, frozen=True):
    """What the header says, or what the frames prove that it said; without `sums` the first frame proves nothing."""

    page_bytes: int
    big_endian: bool
    salts: bytes
    sums: Sums | None
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
    follow: SQLite then counts none of them. They are found all the same, by what they prove of each other.
    """
    if size <= HEADER_BYTES:
        return _nothing(page_bytes, lost_bytes=size if 0 < size < HEADER_BYTES else 0)
    start = _start(read_at, size, page_bytes)
    if start is None:
        return _nothing(page_bytes, lost_bytes=size, verdict=Verdict.DAMAGED, is_proven=False)
    frames = tuple(_frames(read_at, size, start))
    valid, commits = _counted(frames) if start.is_valid else (0, 0)
    rest = (size - HEADER_BYTES) % (FRAME_HEADER_BYTES + start.page_bytes)
    rest_frames = range(valid, len(frames))
    ours = [number for number in rest_frames if frames[number].is_ours]
    noise = [number for number in rest_frames if frames[number].is_noise]
    end = max([valid, *(number + 1 for number in (*ours[-1:], *noise[-1:]))])
    return Walk(
        verdict=_verdict(frames, ours, rest or len(noise)) if start.is_valid else Verdict.DAMAGED,
        page_bytes=start.page_bytes,
        frames=frames,
        valid=valid,
        commits=commits,
        lost_bytes=(end - valid) * (FRAME_HEADER_BYTES + start.page_bytes) + rest,
        is_proven=start.sums is not None,
    )


def _nothing(page_bytes: int, *, lost_bytes: int, verdict: Verdict = Verdict.TORN, is_proven: bool = True) -> Walk:
    return Walk(
        verdict=verdict if lost_bytes else Verdict.WHOLE,
        page_bytes=page_bytes,
        frames=(),
        valid=0,
        commits=0,
        lost_bytes=lost_bytes,
        is_proven=is_proven,
    )


def _start(read_at: ReadAt, size: int, page_bytes: int) -> _Start | None:
    """The header, or what the first frame proves that it was, or what frames farther on agree on; None without any."""
    raw = read_at(0, HEADER_BYTES)
    magic, version, written_bytes, _, salts, *stored = _header(raw)
    sums = stored[0], stored[1]
    big_endian = bool(magic & 1)
    computed = checksum(raw[:24], (0, 0), big_endian=big_endian)
    if magic & ~1 == _MAGIC and version == _VERSION and _is_page_size(written_bytes) and computed == sums:
        return _Start(written_bytes, big_endian, salts, sums, True)
    likely = [one for one in (page_bytes, written_bytes) if _is_page_size(one)]
    sizes = list(dict.fromkeys((*likely, *_PAGE_SIZES)))
    for find in (_by_first_frame, _by_any_frames):
        for one_bytes in sizes:
            for order in (False, True):
                if (start := find(read_at, size, one_bytes, order)) is not None:
                    return start
    return None


def _by_first_frame(read_at: ReadAt, size: int, page_bytes: int, big_endian: bool) -> _Start | None:
    """The header that the first frame goes on from, where there can be one."""
    if size < HEADER_BYTES + FRAME_HEADER_BYTES + page_bytes:
        return None
    raw = read_at(HEADER_BYTES, FRAME_HEADER_BYTES + page_bytes)
    page, _, salts, *stored = _frame(raw[:FRAME_HEADER_BYTES])
    sums = _sums_before(raw[FRAME_HEADER_BYTES:], (stored[0], stored[1]), big_endian=big_endian)
    sums = _sums_before(raw[:8], sums, big_endian=big_endian)
    known = struct.pack(">IIII", _MAGIC | big_endian, _VERSION, page_bytes, 0)
    after_two = checksum(known[:8], (0, 0), big_endian=big_endian)
    before_salts = _sums_before(salts, sums, big_endian=big_endian)
    # Of the pair between, the first word is known: only a header of ours leads from the one to the other.
    (size_word, _), *_ = _PAIRS[big_endian].iter_unpack(known[8:])
    fits = before_salts[0] == (after_two[0] + size_word + after_two[1]) & _WORD
    return _Start(page_bytes, big_endian, salts, sums, False) if fits and page > 0 else None


def _by_any_frames(read_at: ReadAt, size: int, page_bytes: int, big_endian: bool) -> _Start | None:
    """The generation that the log's first frames belong to, of those of which one frame goes on from another."""
    length = FRAME_HEADER_BYTES + page_bytes
    proven: list[bytes] = []
    before = bytes(FRAME_HEADER_BYTES)
    for offset in range(HEADER_BYTES, size - length + 1, length):
        head = read_at(offset, FRAME_HEADER_BYTES)
        salts = head[8:16]
        if salts == before[8:16] != bytes(8) and salts not in proven:
            stored = _frame(before)[3:]
            if _sums_of(read_at(offset, length), stored, big_endian=big_endian) == _frame(head)[3:]:
                proven.append(salts)
        before = head
    if not proven:
        return None
    first = int.from_bytes(proven[0][:4], "big")
    # Leftovers of earlier generations lie behind, and the first salt of each is less.
    newest = min(proven, key=lambda salts: (first - int.from_bytes(salts[:4], "big") + _SALT // 2) % _SALT)
    return _Start(page_bytes, big_endian, newest, None, False)


def _frames(read_at: ReadAt, size: int, start: _Start) -> Iterator[Frame]:
    """All whole frames in the file. One that goes on from a frame of ours is ours even where its salts are not."""
    length = FRAME_HEADER_BYTES + start.page_bytes
    generation = int.from_bytes(start.salts[:4], "big")
    before, before_is_ours = start.sums, True
    for offset in range(HEADER_BYTES, size - length + 1, length):
        raw = read_at(offset, length)
        page, pages, salts, *stored = _frame(raw[:FRAME_HEADER_BYTES])
        has_salts = salts == start.salts
        goes_on = (
            before is not None
            and (has_salts or before_is_ours)
            and _sums_of(raw, before, big_endian=start.big_endian) == tuple(stored)
        )
        is_ours = has_salts or (before_is_ours and goes_on)
        is_earlier = 0 < (generation - int.from_bytes(salts[:4], "big")) % _SALT < _GENERATIONS_MAX
        yield Frame(offset, page, pages, is_ours, has_salts and goes_on and page > 0, not is_ours and not is_earlier)
        before, before_is_ours = (stored[0], stored[1]), is_ours


def _sums_of(raw: bytes, before: Sums, *, big_endian: bool) -> Sums:
    """What a frame's checksum must be, given that of the frame before."""
    sums = checksum(raw[:8], before, big_endian=big_endian)
    return checksum(raw[FRAME_HEADER_BYTES:], sums, big_endian=big_endian)


def _sums_before(data: bytes, sums: Sums, *, big_endian: bool) -> Sums:
    """The checksum from which `data` leads to `sums`."""
    first, second = sums
    for left, right in reversed(list(_PAIRS[big_endian].iter_unpack(data))):
        second = (second - right - first) & _WORD
        first = (first - left - second) & _WORD
    return first, second


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
    if not ends:
        return Verdict.TORN
    if len(ends) > 1:
        return Verdict.DAMAGED
    if ends[0] == ours[-1]:
        # A commit writes a page once, but for the one that ends it: what has another twice was several.
        pages = [frames[number].page for number in ours[:-1] if frames[number].is_intact]
        return Verdict.TORN if len(pages) == len(set(pages)) else Verdict.DAMAGED
    return Verdict.DAMAGED if frames[ends[0] + 1].is_intact else Verdict.TORN


def _is_page_size(number: int) -> bool:
    return PAGE_BYTES_MIN <= number <= PAGE_BYTES_MAX and number & (number - 1) == 0

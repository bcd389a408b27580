"""Frames, on a wire and in files alike: `[u32 BE length][body][u32 BE CRC-32 of the body]`.

What breaks the framing is told as a value, so that whoever reads decides: a connection ends, a file is
searched for its next whole frame. Nothing here looks into a body.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from zlib import crc32

import msgspec

FRAME_BYTES_MAX = 8 * 1024 * 1024
LENGTH_BYTES = 4
CRC_BYTES = 4
OVERHEAD_BYTES = LENGTH_BYTES + CRC_BYTES

# A candidate is recognised by the zero that every length below 16 MiB begins with, and no JSON text holds.
SEARCHED_BYTES_MAX = 16 * 1024 * 1024 - 1

_COMPACT_BYTES = 256 * 1024
_CANDIDATE_BYTES = 5
_CANDIDATE = re.compile(rb"\x00[\x00-\xff]{3}\{")
_CLOSING = ord("}")


class FrameFault(StrEnum):
    """Why framing cannot be trusted from a place on; the code that travels."""

    TRUNCATED = "truncated_frame"
    TOO_LARGE = "frame_too_large"
    BAD_CRC = "bad_crc"


class BadFrame(msgspec.Struct, frozen=True, kw_only=True):
    """What is no whole frame: it begins at byte `at`, and `have` of the `wanted` bytes that it announces were there."""

    fault: FrameFault
    at: int
    wanted: int
    have: int


def encode_frame(body: bytes) -> bytes:
    """`body` as one frame.

    >>> encode_frame(b'{"op":"ping"}').hex()
    '0000000d7b226f70223a2270696e67227df369e448'
    """
    return b"".join((len(body).to_bytes(LENGTH_BYTES, "big"), body, crc32(body).to_bytes(CRC_BYTES, "big")))


class FrameReader:
    """Frames out of bytes as they come; at most one frame of `bytes_max` and what was fed beyond it is held.

    `take` until it gives None, then `feed`; after a BadFrame it gives that one for ever.
    """

    def __init__(self, *, bytes_max: int = FRAME_BYTES_MAX, at: int = 0) -> None:
        #: How large the frames may be that are taken from now on.
        self.bytes_max = bytes_max
        self._buffer = bytearray()
        self._start = 0
        self._at = at
        self._bad: BadFrame | None = None

    @property
    def at(self) -> int:
        """The place of the next frame's first byte, counted from the reader's start."""
        return self._at

    @property
    def pending(self) -> int:
        """How many bytes are held that no frame was made of yet; 0 between frames."""
        return len(self._buffer) - self._start

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take more bytes in."""
        if self._start > _COMPACT_BYTES or self._start == len(self._buffer):
            self._drop_taken()
        self._buffer += data

    def take(self) -> bytes | BadFrame | None:
        """The next body; None where more bytes are needed to tell; a BadFrame where none can be had any more."""
        if self._bad is not None:
            return self._bad
        found = frame_at(self._buffer, self._start, bytes_max=self.bytes_max)
        if isinstance(found, BadFrame):
            if found.fault is FrameFault.TRUNCATED:
                return None
            self._bad = msgspec.structs.replace(found, at=self._at)
            return self._bad
        size = len(found) + OVERHEAD_BYTES
        self._start += size
        self._at += size
        if size > _COMPACT_BYTES:
            # Its bytes are not kept twice while it is worked at.
            self._drop_taken()
        return found

    def __iter__(self) -> Iterator[bytes | BadFrame]:
        """What can be taken now: bodies, and a BadFrame at most once, as the last."""
        while (found := self.take()) is not None:
            yield found
            if isinstance(found, BadFrame):
                return

    def end(self) -> BadFrame | None:
        """What the end of all bytes means here: None between frames, else what was cut or bad."""
        if self._bad is not None or not self.pending:
            return self._bad
        found = frame_at(self._buffer, self._start, bytes_max=self.bytes_max)
        return msgspec.structs.replace(found, at=self._at) if isinstance(found, BadFrame) else None

    def _drop_taken(self) -> None:
        del self._buffer[: self._start]
        self._start = 0


def frame_at(data: bytes | bytearray, start: int, *, bytes_max: int = FRAME_BYTES_MAX) -> bytes | BadFrame:
    """The body of the frame that begins at `start`; the length is judged before a byte of the body is looked at."""
    have = len(data) - start
    if have < LENGTH_BYTES:
        return BadFrame(fault=FrameFault.TRUNCATED, at=start, wanted=OVERHEAD_BYTES, have=have)
    length = int.from_bytes(data[start : start + LENGTH_BYTES], "big")
    wanted = length + OVERHEAD_BYTES
    if length > bytes_max:
        return BadFrame(fault=FrameFault.TOO_LARGE, at=start, wanted=wanted, have=have)
    if have < wanted:
        return BadFrame(fault=FrameFault.TRUNCATED, at=start, wanted=wanted, have=have)
    body = bytes(memoryview(data)[start + LENGTH_BYTES : start + LENGTH_BYTES + length])
    if crc32(body) != int.from_bytes(data[start + wanted - CRC_BYTES : start + wanted], "big"):
        return BadFrame(fault=FrameFault.BAD_CRC, at=start, wanted=wanted, have=have)
    return body


class FrameSearch:
    """Finds whole frames behind damage, in files whose frames hold JSON objects.

    In all its searches together it sums at most `checked_bytes_max` bytes of candidates: data made to look like
    frames everywhere ends the search (`is_spent`), it does not prolong it.
    """

    def __init__(self, *, bytes_max: int, checked_bytes_max: int) -> None:
        self._bytes_max = min(bytes_max, SEARCHED_BYTES_MAX)
        self._left = checked_bytes_max

    @property
    def is_spent(self) -> bool:
        """Whether it gave up: what it did not find may be there all the same."""
        return self._left < 0

    def find(self, data: bytes | bytearray, start: int, *, stop: int) -> int | None:
        """Where the next whole frame begins in `data`, from `start` on and before `stop`; None where none does."""
        while (match := _CANDIDATE.search(data, start, stop + _CANDIDATE_BYTES - 1)) is not None:
            place = match.start()
            if place >= stop or self.is_spent:
                return None
            if self._is_whole(data, place):
                return place
            start = place + 1
        return None

    def _is_whole(self, data: bytes | bytearray, place: int) -> bool:
        length = int.from_bytes(data[place : place + LENGTH_BYTES], "big")
        last = place + LENGTH_BYTES + length - 1
        if not 2 <= length <= self._bytes_max or last + CRC_BYTES >= len(data) or data[last] != _CLOSING:
            return False
        self._left -= length
        return not self.is_spent and isinstance(frame_at(data, place, bytes_max=self._bytes_max), bytes)

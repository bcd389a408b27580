"""A place in every log at once, as one opaque text. Pure."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from core.model.errors import BadRequest, TooBusy

BEGINNING = "0"
LOGS_MAX = 500
CURSOR_CHARS_MAX = 40_000

_FORM = 1
_UID_BYTES = 16


class Position(NamedTuple):
    """Everything up to `seq` of the log with that epoch is known."""

    epoch: str
    seq: int


Positions = Mapping[str, Position]


def encode_cursor(positions: Positions) -> str:
    """The positions by log uid as text for an event's id; logs at their beginning are left out.

    >>> decode_cursor(encode_cursor({"": Position("", 7)}))
    {'': Position(epoch='', seq=7)}
    """
    moved = sorted((uid, position) for uid, position in positions.items() if position.seq > 0)
    if len(moved) > LOGS_MAX:
        raise TooBusy(f"a cursor spans at most {LOGS_MAX} logs", remedy="Ask for fewer services.")
    if not moved:
        return BEGINNING
    flat = [[_packed_uid(uid), _packed_epoch(position.epoch), position.seq] for uid, position in moved]
    return base64.urlsafe_b64encode(msgspec.msgpack.encode([_FORM, flat])).decode("ascii").rstrip("=")


def decode_cursor(text: str) -> dict[str, Position]:
    """The positions in `text`, where `0` is the beginning of every log; raises BadRequest for what is no cursor."""
    if text == BEGINNING:
        return {}
    if len(text) > CURSOR_CHARS_MAX:
        raise BadRequest("the cursor is too long", remedy="Send the id of an event as it came.")
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        form, flat = msgspec.msgpack.decode(packed, type=tuple[int, list[tuple[Any, Any, int]]])
        positions = {_uid(uid): Position(_epoch(epoch), seq) for uid, epoch, seq in flat}
    except (binascii.Error, msgspec.MsgspecError, ValueError) as err:
        raise _no_cursor() from err
    seqs_fit = all(0 < position.seq < 2**63 for position in positions.values())
    if form != _FORM or not len(positions) == len(flat) <= LOGS_MAX or not seqs_fit:
        raise _no_cursor()
    return positions


def _no_cursor() -> BadRequest:
    return BadRequest("the cursor cannot be read", remedy="Send the id of an event as it came, or 0 for the beginning.")


def _packed_uid(uid: str) -> bytes | str:
    """Sixteen bytes for what is a UUID in its usual writing, which halves a cursor."""
    try:
        value = uuid.UUID(uid)
    except ValueError:
        return uid
    return value.bytes if str(value) == uid else uid


def _uid(packed: Any) -> str:
    if isinstance(packed, bytes) and len(packed) == _UID_BYTES:
        return str(uuid.UUID(bytes=packed))
    if isinstance(packed, str):
        return packed
    raise ValueError("not a log's uid")


def _packed_epoch(epoch: str) -> bytes | str:
    try:
        value = bytes.fromhex(epoch)
    except ValueError:
        return epoch
    return value if value.hex() == epoch else epoch


def _epoch(packed: Any) -> str:
    if isinstance(packed, bytes):
        return packed.hex()
    if isinstance(packed, str):
        return packed
    raise ValueError("not an epoch")

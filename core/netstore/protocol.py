"""The wire's requests and replies: flat JSON objects, one to a frame; what an error is called there, and back.

A reply is `{"ok":true,…}` or `{"ok":false,"error_code":…,"error":…}`; a request's `request_id` is echoed last.
`error` is one sentence for a person, and never tells of paths, values or exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from core.model.errors import (
    BadRecord,
    BadRequest,
    BodyTooLarge,
    Broken,
    Conflict,
    ConflictingDuplicate,
    CursorTooOld,
    CursorUnknown,
    FactDamaged,
    FileDamaged,
    Forbidden,
    HashMismatch,
    InvalidFact,
    LeftOut,
    LockerError,
    NotFound,
    RateLimited,
    Reauthorise,
    Reject,
    Retry,
    SeqMoved,
    StorageFull,
    TokenRequired,
    TooBusy,
    UserActionNeeded,
    WriterBusy,
)
from core.model.fact import JsonObject
from core.model.frames import BadFrame, FrameFault
from core.model.strict import decode_strictly

T = TypeVar("T")

PROTOCOL = 1
OP_LETTERS_MAX = 60
REQUEST_ID_BYTES_MAX = 1024
# How every refusal begins.
REFUSED = b'{"ok":false'

_CODES: tuple[tuple[type[LockerError], str], ...] = (
    (SeqMoved, "conflict"),
    (Conflict, "conflict"),
    (LeftOut, "conflict"),
    (ConflictingDuplicate, "conflicting_duplicate"),
    (InvalidFact, "invalid_fact"),
    (BadRecord, "invalid_fact"),
    (HashMismatch, "hash_mismatch"),
    (CursorTooOld, "cursor_too_old"),
    (CursorUnknown, "cursor_unknown"),
    (TokenRequired, "unauthorized"),
    (Forbidden, "forbidden"),
    (NotFound, "not_found"),
    (BodyTooLarge, "reply_too_large"),
    (Reject, "invalid_request"),
    (RateLimited, "rate_limited"),
    (StorageFull, "storage_full"),
    (Retry, "overloaded"),
    (Reauthorise, "unauthorized"),
    (UserActionNeeded, "storage_error"),
    (WriterBusy, "storage_error"),
)
# What these say may name files: the title says it without.
_UNSPOKEN = (StorageFull, UserActionNeeded, WriterBusy)

_CLASSES: dict[str, type[LockerError]] = {
    "conflict": Conflict,
    "conflicting_duplicate": ConflictingDuplicate,
    "hash_mismatch": HashMismatch,
    "cursor_unknown": CursorUnknown,
    "unauthorized": TokenRequired,
    "forbidden": Forbidden,
    "not_found": NotFound,
    "reply_too_large": BodyTooLarge,
    "frame_too_large": BodyTooLarge,
    "invalid_request": BadRequest,
    "unknown_op": BadRequest,
    "bad_json": BadRequest,
    "not_an_object": BadRequest,
    "storage_full": StorageFull,
    "storage_error": FileDamaged,
    "rate_limited": RateLimited,
    "overloaded": TooBusy,
    "too_many_connections": TooBusy,
    "draining": Retry,
    "bad_crc": Retry,
    "frame_timeout": Retry,
    "internal_error": Broken,
}


class Refusal(msgspec.Struct, frozen=True):
    """A request that is not answered: the code that travels, one sentence, and what the code adds."""

    code: str
    error: str
    details: JsonObject = {}

    def members(self) -> JsonObject:
        """What a reply says of it, beside that it is refused."""
        return {"error_code": self.code, "error": self.error, **self.details}


class Cursor(msgspec.Struct, frozen=True):
    """A position in one incarnation of a store: everything up to `seq` is mine."""

    store_epoch: str
    seq: int


def read_request(body: bytes) -> JsonObject | Refusal:
    """The object in `body`; a name twice, NaN, half characters and everything else that is no JSON are refused."""
    try:
        request = decode_strictly(body)
    except ValueError:
        return Refusal("bad_json", "The frame does not hold JSON that can be read.")
    if not isinstance(request, dict):
        return Refusal("not_an_object", "The frame holds JSON, but no object.")
    return request


def read_reply(body: bytes) -> JsonObject | None:
    """The object in a frame from the server; None where there is none."""
    try:
        reply = _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return reply if isinstance(reply, dict) else None


def refused_frame(bad: BadFrame, *, frame_bytes_max: int) -> Refusal | None:
    """What a broken frame is answered with; None for one that merely ended too early."""
    if bad.fault is FrameFault.TOO_LARGE:
        sentence = f"The frame is larger than {frame_bytes_max} bytes."
        return Refusal("frame_too_large", sentence, {"max_frame": frame_bytes_max})
    if bad.fault is FrameFault.BAD_CRC:
        return Refusal("bad_crc", "The frame's checksum does not fit its body.")
    return None


def unknown_op(op: object) -> Refusal:
    """The refusal of a missing or unknown `op`, in the words that a Ruby client knows."""
    text = "nil" if op is None else msgspec.json.encode(op).decode()
    return Refusal("unknown_op", f"Unknown op: {text[:OP_LETTERS_MAX]}")


def refusal_of(error: LockerError) -> Refusal | None:
    """How `error` travels; None for what is ours alone and needs an incident's number instead."""
    for group, code in _CODES:
        if isinstance(error, group):
            sentence = error.title + "." if isinstance(error, _UNSPOKEN) else error.detail
            return Refusal(code, sentence, _details(error))
    return None


def error_of(reply: Mapping[str, Any]) -> LockerError:
    """The error that a reply with `ok` false stands for, as the store itself would have raised it."""
    code, sentence = str(reply.get("error_code")), str(reply.get("error"))
    if code == "invalid_fact":
        return InvalidFact(sentence, field=str(reply.get("field")))
    if code == "conflict" and isinstance(reply.get("current_seq"), int):
        return SeqMoved(sentence, current_seq=reply["current_seq"])
    if code == "cursor_too_old":
        return CursorTooOld(sentence, floor=int(reply.get("oldest") or 0))
    if code == "storage_error" and isinstance(reply.get("seq"), int):
        return FactDamaged(sentence, seq=reply["seq"])
    error = _CLASSES.get(code, Broken)(sentence)
    if isinstance(reply.get("retry_after_ms"), (int, float)):
        error.retry_after_s = reply["retry_after_ms"] / 1000
    return error


def success(members: Mapping[str, Any] | None = None) -> bytes:
    """`{"ok":true}` and what else belongs to it."""
    return encode({"ok": True, **members}) if members else b'{"ok":true}'


def refused(refusal: Refusal) -> bytes:
    """A refusal's body."""
    return encode({"ok": False, **refusal.members()})


def with_request_id(body: bytes, request: Mapping[str, Any]) -> bytes:
    """`body` with the request's id at its end, where the request bears one."""
    request_id = request.get("request_id")
    if request_id is None or request_id is False:
        return body
    return b"".join((body[:-1], b',"request_id":', _encode(request_id), b"}"))


def check_request_id(request: Mapping[str, Any]) -> None:
    """Raise BadRequest for an id that is too long to be echoed."""
    request_id = request.get("request_id")
    if isinstance(request_id, (str, list, dict)) and len(_encode(request_id)) > REQUEST_ID_BYTES_MAX:
        raise BadRequest(f"request_id is longer than {REQUEST_ID_BYTES_MAX} bytes.")


def spliced(members: Mapping[str, Any], name: str, texts: Sequence[bytes], last: Mapping[str, Any]) -> bytes:
    """An object whose member `name` is a list of texts that are JSON already; `members` before it, `last` after."""
    start, end = encode(members)[:-1], encode(last)[1:]
    comma = b"," if len(start) > 1 else b""
    listed = b",".join(texts)
    return b"".join((start, comma, b'"', name.encode(), b'":[', listed, b"]," if last else b"]", end))


def params(request: JsonObject, form: type[T]) -> T:
    """What `request` asks for, in the shape of `form`; raises BadRequest naming what does not fit."""
    try:
        return msgspec.convert(request, form)
    except (msgspec.ValidationError, RecursionError) as err:
        raise BadRequest(f"The request does not fit its op: {err}") from err


def cursor_of(document: object, *, epoch: str) -> int:
    """The position a cursor names; raises CursorUnknown for one of another store or incarnation.

    A bare 0, the beginning, is the same in all of them; no other position is.
    """
    if document == 0 and type(document) is int:
        return 0
    try:
        cursor = msgspec.convert(document, Cursor)
    except msgspec.ValidationError as err:
        raise BadRequest("A cursor is an object with store_epoch and seq.") from err
    if cursor.store_epoch != epoch or cursor.seq < 0:
        raise CursorUnknown("The cursor is of another store, or of before a restore.")
    return cursor.seq


def encode(value: Any) -> bytes:
    """`value` as compact JSON."""
    return _encode(value)


def _details(error: LockerError) -> JsonObject:
    if isinstance(error, SeqMoved):
        return {"current_seq": error.current_seq}
    if isinstance(error, InvalidFact):
        return {"field": error.field}
    if isinstance(error, BadRecord):
        return {"field": "value"}
    if isinstance(error, CursorTooOld):
        return {"oldest": error.floor}
    if isinstance(error, FactDamaged):
        return {"seq": error.seq}
    if error.retry_after_s is not None:
        return {"retry_after_ms": round(error.retry_after_s * 1000)}
    return {}


_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

"""A change that was refused, as it is kept whole so that it can be tried again."""

from __future__ import annotations

from typing import Any

import msgspec

from core.model.fact import Change
from core.model.manifest import TypeSpec
from core.store.paths import value_at

WHOLE_BYTES_MAX = 256 * 1024
CHANGE = '{"change":'

_NAMES = ("key", "action", "value", "common", "valid_time", "order_key", "derivation")


class _Whole(msgspec.Struct):
    change: dict[str, Any]


class _Refused(msgspec.Struct):
    head: int | None = None


def whole_change(change: Change) -> str | None:
    """The change as JSON; None where it is larger than is kept, or says something that JSON cannot."""
    return _whole("change", {name: getattr(change, name) for name in _NAMES if not _is_usual(change, name)})


def whole_value(value: object) -> str | None:
    """What somebody else refused: it is kept to be seen, and no change is made of it here."""
    return None if value is None else _whole("value", value)


def whole_again(kept: dict[str, Any] | None) -> str | None:
    """What was kept in another store, as it is kept here: without that log's head. None for what is no such thing."""
    for name in ("change", "value"):
        if kept is not None and name in kept:
            return _whole(name, kept[name])
    return None


def change_in(whole: str | None, type_name: str, spec: TypeSpec | None) -> Change | None:
    """The change to be tried again, its key read anew where it had none that can be used; None where there is none."""
    try:
        said = msgspec.json.decode(whole or "{}", type=_Whole).change
        change = msgspec.convert({**said, "type": type_name, "key": said.get("key", "")}, Change)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if change.key or spec is None:
        return change
    key = value_at(change.value, spec.key)
    return msgspec.structs.replace(change, key=str(key) if type(key) in (str, int) else "")


def with_head(whole: str | None, head: int) -> str | None:
    """What is kept of a change, with the log's head when it was refused: any later version stands behind it."""
    return f'{whole[:-1]},"head":{head}}}' if whole is not None and whole.startswith(CHANGE) else whole


def head_in(whole: str | None) -> int | None:
    """Where the log ended when the change was refused; None where that is not kept."""
    try:
        return msgspec.json.decode(whole or "{}", type=_Refused).head
    except (msgspec.MsgspecError, RecursionError):
        return None


def _is_usual(change: Change, name: str) -> bool:
    usual = {"key": "", "action": "put", "value": {}, "common": {}}
    return bool(getattr(change, name) == usual.get(name))


def _whole(name: str, what: object) -> str | None:
    try:
        encoded = msgspec.json.encode({name: what})
        # What cannot be written is left out or written as something else: kept is only what is read back the same.
        is_same = len(encoded) <= WHOLE_BYTES_MAX and msgspec.json.decode(encoded) == {name: what}
        return encoded.decode() if is_same else None
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return None

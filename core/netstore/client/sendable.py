"""What JSON cannot carry as it is: found before it is sent, so that nothing arrives as something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from core.model.canonical import canonical_json
from core.model.errors import BadRecord, BadRequest, InvalidFact
from core.model.fact import Change, JsonObject
from core.netstore import protocol
from core.store import Aside

# An infinity, or what is no number, would be written as null.
_SUSPECT = b"null"


def fault_in(document: JsonObject) -> InvalidFact | None:
    """What keeps a wire's fact from being sent as it is, the field named."""
    try:
        if _SUSPECT not in protocol.encode(document):
            return None
    except (TypeError, ValueError, RecursionError):
        pass
    for name, part in document.items():
        if not is_sendable(part):
            return InvalidFact(f"{name} holds what JSON cannot carry", field=name)
    return None


def parted(changes: Sequence[Change]) -> tuple[list[Change], list[Aside]]:
    """The changes that can be sent, and the others as records to be set aside."""
    good: list[Change] = []
    aside: list[Aside] = []
    for change in changes:
        said = (change.value, change.common, change.derivation, change.valid_time)
        if all(map(is_sendable, said)):
            good.append(change)
        else:
            aside.append(Aside(type=change.type, key=change.key, reason="it holds what JSON cannot carry"))
    return good, aside


def check(what: str, value: Any) -> None:
    """Raise BadRequest where `value` would arrive as another one."""
    if not is_sendable(value):
        raise BadRequest(f"{what} holds what JSON cannot carry")


def is_sendable(value: Any) -> bool:
    """Whether `value` arrives as it is."""
    try:
        if value is not None and _SUSPECT in protocol.encode(value):
            canonical_json(msgspec.to_builtins(value))
    except (BadRecord, TypeError, ValueError, RecursionError):
        return False
    return True

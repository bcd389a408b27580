"""The shared fields of a record, read off the JSON of its documents, of which nothing else is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from core.model.fact import JsonObject
from core.model.filter import found_at
from core.model.manifest import TypeSpec
from core.store.log.facts import object_of
from core.store.log.fold import shared_paths


class Glance:
    """How the records of one type are looked over: as `fold.common_of`, without taking the whole value apart."""

    def __init__(self, spec: TypeSpec) -> None:
        ways = {field: path.split(".") for field, path in shared_paths(spec).items()}
        tops = list(dict.fromkeys(steps[0] for steps in ways.values()))
        self._fields = [(field, tops.index(steps[0]), tuple(steps[1:])) for field, steps in ways.items()]
        self._decode = _decoder(tops)

    def common(self, value: str, own: str | None) -> JsonObject:
        """The shared fields of a record with these two documents.

        Raises msgspec.MsgspecError, ValueError or RecursionError where one of them is no JSON object.
        """
        tops = self._decode(value)
        found = {
            field: member
            for field, place, steps in self._fields
            if (member := found_at(tops[place], steps) if steps else tops[place]) is not None
        }
        return {**found, **object_of(own)} if own is not None else found


def _decoder(names: Sequence[str]) -> Callable[[str], tuple[Any, ...]]:
    """What gives the members of these names in a JSON object, None where there is no such; the others are passed over.

    They are checked to be JSON all the same.
    """
    members = [(f"member_{place}", Any, msgspec.field(default=None, name=name)) for place, name in enumerate(names)]
    try:
        decode = msgspec.json.Decoder(msgspec.defstruct("Members", members, gc=False)).decode
    except ValueError:  # A quote, a backslash or a control character: a struct has no such name.
        return lambda text: tuple(map(object_of(text).get, names))
    return lambda text: msgspec.structs.astuple(decode(text))

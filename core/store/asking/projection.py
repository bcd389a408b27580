"""Only the fields that were asked for of a record: the rest of its documents is left out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from core.model.fact import JsonObject, Record
from core.model.filter import Path, found_at, value_alone
from core.model.manifest import TypeSpec

FIELDS_MAX = 64


def projected(record: Record, fields: Sequence[Path], spec: TypeSpec) -> Record:
    """The record with what stands at `fields` alone, each in its place in `value` or `common`.

    A list that a path goes through is shown as an object of the places that were asked for.

    >>> record = Record(type="repo", key="1", value={"a": {"b": 1, "c": 2}}, common={"title": "x"}, at=0.0, seq=1)
    >>> shown = projected(record, [Path(("a", "b")), Path(("title",))], TypeSpec(name="repo"))
    >>> shown.value, shown.common
    ({'a': {'b': 1}}, {'title': 'x'})
    """
    value: JsonObject = {}
    common: JsonObject = {}
    declared = value_alone(spec)
    for path in fields:
        for document, shown in ((record.value, value), (record.common, common)):
            if (path.is_shared and document is record.value) or (path.steps in declared and document is record.common):
                continue
            found = found_at(document, path.steps)
            if found is not None:
                _put(shown, path.steps, found)
                break
    return msgspec.structs.replace(record, value=value, common=common)


def _put(shown: JsonObject, steps: tuple[str, ...], found: Any) -> None:
    *way, last = steps
    for step in way:
        inner = shown.setdefault(step, {})
        if not isinstance(inner, dict):
            return  # The whole of it is shown already.
        shown = inner
    shown[last] = found

"""The marks that stand for secrets in settings that come back: each may keep its own field's secret only. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.vault import is_marker, split_settings

Schema = Mapping[str, Any]


def mark_faults(schema: Schema, settings: Mapping[str, Any], secrets: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with the marks in `settings`: pairs of a dotted path and a sentence's end.

    `secrets` are those that are kept, by their pointers. An entry of a list may have moved since its mark was read,
    so places in lists are not compared.
    """
    _, at_secrets = split_settings(schema, settings)
    faults = []
    for pointer, value in at_secrets.items():
        if not is_marker(value):
            continue
        path, named = pointer.removeprefix("/").replace("/", "."), value["sealed"]
        if _field(schema, named) != _field(schema, pointer):
            faults.append((path, f"has the mark of another field, {named[:80]!r}; its own would keep its secret"))
        elif named not in secrets:
            faults.append((path, f"has the mark {named[:80]!r}, for which no secret is kept; write the secret itself"))
    return faults


def _field(schema: Schema, pointer: str) -> tuple[str, ...]:
    """Which field a pointer names, whatever its places in lists."""
    names: list[str] = []
    fields: Any = schema
    within: Any = {}
    for part in pointer.removeprefix("/").split("/"):
        if fields is None and "items" in within and part.isdecimal():
            names.append("*")
            within = within["items"]
        else:
            names.append(part)
            found = fields.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(fields, Mapping) else None
            within = found if isinstance(found, Mapping) else {}
        fields = within.get("properties")
    return tuple(names)

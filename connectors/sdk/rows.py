"""From what a stream yields to what the store takes: the type, the key, the moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.sdk.messages import Delete, Put
from core.model.errors import Broken
from core.model.fact import Change
from core.model.manifest import TypeSpec
from core.store import value_at

_NO_KEY = ""


class Rows:
    """Makes changes of rows, by the types that the manifest declares."""

    def __init__(self, types: Mapping[str, TypeSpec]) -> None:
        self._types = types

    def change(self, row: Put | Delete, *, key_path: str | None = None) -> Change:
        """The change that `row` stands for. A row without a usable key gets an empty one, which the store sets aside.

        Raises Broken for a type that the manifest does not declare: that is the author's fault, not the row's.
        """
        spec = self._types.get(row.type)
        if spec is None:
            raise Broken(f"{row.type!r} is not declared under [types]", remedy="Declare it in connector.toml.")
        if isinstance(row, Delete):
            return Change(type=row.type, key=_key_text(row.key), action="delete")
        key = row.key if row.key is not None else value_at(row.value, key_path or spec.key)
        return Change(
            type=row.type,
            key=_key_text(key),
            value=row.value,
            common=row.common,
            valid_time=row.at,
            order_key=row.order_key,
        )


def _key_text(key: Any) -> str:
    """A key as text: 0 is a key, true and 1.5 are none."""
    if isinstance(key, str):
        return key
    return str(key) if isinstance(key, int) and not isinstance(key, bool) else _NO_KEY

"""Settings parted into what may lie open and what must be sealed, and joined again. Pure.

In the open part a marker `{"sealed": "/accounts/0/password"}` stands where a secret was; the sealed
part maps that name to the secret. The marker moves with its surroundings, so when an entry is
deleted or moved by hand no password ends up beside another account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]

_MARKER = "sealed"
_ABSENT = object()
_AtSecret = Callable[[str, Any], Any]


def split_settings(schema: Schema, settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The open part of `settings` with a marker for each secret, and the secrets by the marker's name."""
    secrets: dict[str, Any] = {}

    def take(name: str, value: Any) -> Any:
        secrets[name] = value
        return {_MARKER: name}

    return _fields(schema, settings, "", take), secrets


def merge_settings(schema: Schema, plain: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, Any]:
    """The whole settings again; a marker whose secret is gone leaves its field out.

    Markers count only where `schema` says secret: anywhere else one could carry a secret into the open.
    """

    def put_back(_name: str, value: Any) -> Any:
        return secrets.get(value[_MARKER], _ABSENT) if is_marker(value) else value

    return _fields(schema, plain, "", put_back)


def without_secrets(schema: Schema, settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings`, whole or open part, with neither secrets nor markers: what anybody may see."""
    return _fields(schema, settings, "", lambda _name, _value: _ABSENT)


def is_marker(value: Any) -> bool:
    """Whether `value` stands where a secret was."""
    return isinstance(value, Mapping) and set(value) == {_MARKER} and isinstance(value[_MARKER], str)


def _fields(schema: Schema, values: Mapping[str, Any], path: str, at_secret: _AtSecret) -> dict[str, Any]:
    walked = {
        name: _value(_field_schema(schema, name), value, f"{path}/{_escaped(name)}", at_secret)
        for name, value in values.items()
    }
    return {name: value for name, value in walked.items() if value is not _ABSENT}


def _value(schema: Schema, value: Any, path: str, at_secret: _AtSecret) -> Any:
    if schema.get("secret") is True:
        return at_secret(path, value)
    properties, items = schema.get("properties"), schema.get("items")
    if isinstance(value, Mapping) and isinstance(properties, Mapping):
        return _fields(properties, value, path, at_secret)
    if isinstance(value, (list, tuple)) and isinstance(items, Mapping):
        walked = [_value(items, item, f"{path}/{index}", at_secret) for index, item in enumerate(value)]
        return [item for item in walked if item is not _ABSENT]
    return value


def _field_schema(schema: Schema, name: str) -> Schema:
    found = schema.get(name)
    return found if isinstance(found, Mapping) else {}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")

"""Settings on their way to and from a person: secrets are never shown, and stay when they are left out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]


def masked(schema: Schema, settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings without their secrets, and the dotted paths of the secrets that are set.

    >>> masked({"user": {"type": "string"}, "key": {"type": "string", "secret": True}}, {"user": "me", "key": "k"})
    ({'user': 'me'}, ['key'])
    """
    secrets: list[str] = []
    plain = _masked_object(schema, settings, "", secrets)
    return plain, secrets


def with_kept_secrets(schema: Schema, new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """The new settings with the secrets they leave out taken from the old ones.

    An entry of a list takes the secrets of the old entry that agrees with it in all else; where none does and the
    lists are equally long, those of the entry in its place.
    """
    return _kept_object(schema, new, old)


def is_secret(schema: Schema) -> bool:
    """Whether the field holds a secret."""
    return schema.get("secret") is True


def fields_of(schema: Schema) -> Schema:
    """The fields of an object's schema; empty for any other."""
    fields = schema.get("properties", {})
    return fields if schema.get("type") == "object" and isinstance(fields, Mapping) else {}


def _masked_object(fields: Schema, values: Mapping[str, Any], prefix: str, secrets: list[str]) -> dict[str, Any]:
    plain = {}
    for name, value in values.items():
        schema = fields.get(name, {})
        path = f"{prefix}{name}"
        if is_secret(schema):
            if value not in (None, ""):
                secrets.append(path)
        else:
            plain[name] = _masked(schema, value, path, secrets)
    return plain


def _masked(schema: Schema, value: Any, path: str, secrets: list[str]) -> Any:
    if fields_of(schema) and isinstance(value, Mapping):
        return _masked_object(fields_of(schema), value, f"{path}.", secrets)
    items = schema.get("items", {})
    if is_secret(items) and isinstance(value, list):
        secrets.extend(f"{path}.{index}" for index in range(len(value)))
        return []
    if isinstance(value, list):
        return [_masked(items, item, f"{path}.{index}", secrets) for index, item in enumerate(value)]
    return value


def _kept_object(fields: Schema, new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    kept = dict(new)
    for name, schema in fields.items():
        if is_secret(schema):
            if new.get(name) in (None, "") and name in old:
                kept[name] = old[name]
        elif name in new and name in old:
            kept[name] = _kept(schema, new[name], old[name])
    return kept


def _kept(schema: Schema, new: Any, old: Any) -> Any:
    fields = fields_of(schema)
    if fields and isinstance(new, Mapping) and isinstance(old, Mapping):
        return _kept_object(fields, new, old)
    item_fields = fields_of(schema.get("items", {}))
    if item_fields and isinstance(new, list) and isinstance(old, list):
        return _kept_items(item_fields, new, old)
    return new


def _kept_items(fields: Schema, new: Sequence[Any], old: Sequence[Any]) -> list[Any]:
    left = dict(enumerate(old))
    partners: dict[int, Any] = {}
    for index, item in enumerate(new):
        match = next((at for at, one in left.items() if _plain(fields, one) == _plain(fields, item)), None)
        if match is not None:
            partners[index] = left.pop(match)
    if len(new) == len(old):
        partners.update({index: left[index] for index in left if index not in partners})
    return [
        _kept_object(fields, item, partners[index])
        if isinstance(item, Mapping) and isinstance(partners.get(index), Mapping)
        else item
        for index, item in enumerate(new)
    ]


def _plain(fields: Schema, item: Any) -> Any:
    return _masked_object(fields, item, "", []) if isinstance(item, Mapping) else item

"""What is wrong with a manifest's [settings] themselves. Pure.

An unknown word is a fault: `secert = true` would leave a password lying open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.registry.pattern import PatternInvalid, understood
from core.registry.settings import DEPTH_MAX, FORMATS, TYPES, sentence, validate

_WORDS = frozenset({"type", "title", "description", "secret", "required", "default", "enum"})
_WORDS_OF: Mapping[str, frozenset[str]] = {
    "string": frozenset({"format", "minLength", "maxLength", "pattern"}),
    "integer": frozenset({"minimum", "maximum"}),
    "number": frozenset({"minimum", "maximum"}),
    "boolean": frozenset(),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "object": frozenset({"properties"}),
}
_KIND_OF: Mapping[str, tuple[type, ...]] = {
    "title": (str,),
    "description": (str,),
    "secret": (bool,),
    "enum": (list,),
    "format": (str,),
    "pattern": (str,),
    "minLength": (int,),
    "maxLength": (int,),
    "minItems": (int,),
    "maxItems": (int,),
    "minimum": (int, float),
    "maximum": (int, float),
    "items": (dict,),
    "properties": (dict,),
}


def schema_faults(settings: Mapping[str, Any]) -> list[str]:
    """Every fault of the schema, each with its key as it stands in connector.toml."""
    faults: list[str] = []
    for name, field in settings.items():
        _field(field, f"settings.{name}", faults, DEPTH_MAX)
    return faults


def has_type(field: Any) -> bool:
    """Whether it is a table that says of which known type the setting is."""
    return isinstance(field, Mapping) and isinstance(field.get("type"), str) and field["type"] in TYPES


def _field(field: Any, path: str, faults: list[str], depth: int) -> None:
    if not has_type(field) or depth == 0:
        faults.append(f"{path}: must be a table with a type of {', '.join(sorted(TYPES))}")
        return
    before = len(faults)
    for word, value in field.items():
        _word(field["type"], word, value, path, faults)
    faults += [f"{path}.required: {name!r} is no field of it" for name in _undeclared(field)]
    for name, inner in _inner(field, path):
        _field(inner, name, faults, depth - 1)
    if len(faults) == before and "default" in field:
        _default(field, path, faults)


def _word(kind: str, word: str, value: Any, path: str, faults: list[str]) -> None:
    if word not in _WORDS | _WORDS_OF[kind]:
        faults.append(f"{path}.{word}: is no word of a setting of type {kind}")
    elif word == "required":
        is_list = kind == "object" and isinstance(value, list) and all(isinstance(name, str) for name in value)
        if not isinstance(value, bool) and not is_list:
            faults.append(f"{path}.required: must be true or false, or for an object a list of its fields")
    elif word in _KIND_OF and (not isinstance(value, _KIND_OF[word]) or _is_misplaced_bool(word, value)):
        faults.append(f"{path}.{word}: must be {' or '.join(kind.__name__ for kind in _KIND_OF[word])}")
    elif word == "format" and value not in FORMATS:
        faults.append(f"{path}.format: {value!r} is none of {', '.join(sorted(FORMATS))}")
    elif word == "pattern":
        faults += _pattern_faults(value, path)


def _undeclared(field: Mapping[str, Any]) -> list[str]:
    required, properties = field.get("required"), field.get("properties")
    names = required if isinstance(required, list) else []
    return [name for name in names if not isinstance(properties, dict) or name not in properties]


def _inner(field: Mapping[str, Any], path: str) -> list[tuple[str, Any]]:
    properties, items = field.get("properties"), field.get("items")
    inner = [(f"{path}.items", items)] if items is not None else []
    if isinstance(properties, dict):
        inner += [(f"{path}.properties.{name}", value) for name, value in properties.items()]
    return inner


def _default(field: Mapping[str, Any], path: str, faults: list[str]) -> None:
    name = path.rpartition(".")[2]
    _clean, wrong = validate({name: field}, {name: field["default"]})
    if wrong:
        faults.append(f"{path}.default: {sentence(wrong)}")
    if field.get("secret") is True:
        faults.append(f"{path}.default: a secret has no default")


def _is_misplaced_bool(word: str, value: Any) -> bool:
    return isinstance(value, bool) and bool not in _KIND_OF[word]


def _pattern_faults(pattern: str, path: str) -> list[str]:
    try:
        understood(pattern)
    except PatternInvalid as err:
        return [f"{path}.pattern: {err}"]
    return []

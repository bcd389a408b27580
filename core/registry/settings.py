"""Checks what an owner set against a manifest's [settings]: every fault at once, by field. Pure.

The schema is a small part of JSON Schema, one entry per setting; `required = true` marks a field of
its own, beside the list that an object's schema may have.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from core.registry.pattern import TextTooLong, understood

Schema = Mapping[str, Any]
Fault = tuple[str, str]

# All settings travel in the one line of a greeting, beside whatever else it says.
SETTINGS_BYTES_MAX = 48 * 1024
TEXT_CHARS_MAX = 10_000
ITEMS_MAX = 2_000
DEPTH_MAX = 12
FAULTS_MAX = 100
NAME_CHARS_MAX = 80
INTEGER_BITS = 63

_URI = re.compile(r"[a-z][a-z0-9+.-]{0,30}:[^\s]+", re.IGNORECASE)
_ABSENT = object()


def validate(schema: Schema, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """The settings with their defaults filled in, and what is wrong: pairs of a dotted path and a sentence's end.

    `values` is JSON from anywhere. With faults, the settings hold only what is right.
    """
    check = _Check()
    clean = check.fields(schema, values, required=(), path="")
    if not check.faults and clean:
        sizes = {name: len(msgspec.json.encode(value)) for name, value in clean.items()}
        if sum(sizes.values()) > SETTINGS_BYTES_MAX:
            largest = max(sizes, key=lambda name: sizes[name])
            check.faults.append((largest, f"makes the settings larger than {SETTINGS_BYTES_MAX} bytes together"))
    return clean, check.faults


def sentence(faults: Sequence[Fault]) -> str:
    """All faults as one line of text."""
    return "; ".join(f"{path} {what}" for path, what in faults)


class _Check:
    """One walk along schema and values; a value that is wrong comes back as absent and is noted."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._matched_chars = 0

    def fields(
        self, schema: Schema, values: Mapping[str, Any], *, required: Sequence[str], path: str
    ) -> dict[str, Any]:
        clean = {}
        for name, field in schema.items():
            here = _joined(path, name)
            value = self._given(
                field, values.get(name), here, is_required=name in required or field.get("required") is True
            )
            if value is not _ABSENT:
                clean[name] = value
        for name in values:
            if name not in schema:
                there = f"; there are {', '.join(schema)}" if schema else ""
                self._wrong(_joined(path, name[:NAME_CHARS_MAX]), f"is no setting{there}")
        return clean

    def value(self, schema: Schema, value: Any, path: str) -> Any:
        """The value as it is kept, or _ABSENT when it does not fit."""
        kept = _TYPES[schema["type"]](self, schema, value, path)
        choices = schema.get("enum")
        if kept is not _ABSENT and choices is not None and not any(_is_same(kept, choice) for choice in choices):
            return self._wrong(path, f"must be one of {', '.join(str(choice) for choice in choices)}")
        return kept

    def _given(self, field: Schema, value: Any, path: str, *, is_required: bool) -> Any:
        if value is None and "default" in field:
            return copy.deepcopy(field["default"])
        # A form sends an empty text for a field that nobody filled in.
        if value is None or (value == "" and is_required):
            return self._wrong(path, "is missing") if is_required else _ABSENT
        return self.value(field, value, path)

    def _wrong(self, path: str, what: str) -> Any:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append((path, what))
        return _ABSENT

    def _string(self, schema: Schema, value: Any, path: str) -> Any:
        if not isinstance(value, str):
            return self._wrong(path, "must be text")
        least, most = schema.get("minLength", 0), schema.get("maxLength", TEXT_CHARS_MAX)
        if not least <= len(value) <= most:
            return self._wrong(path, f"must have {_from_to(least, most)} characters")
        if not _is_encodable(value):
            return self._wrong(path, "holds half of a character")
        try:
            if "pattern" in schema and not self._is_matched(schema["pattern"], value):
                return self._wrong(path, f"must match {schema['pattern']}")
        except TextTooLong as err:
            return self._wrong(path, str(err))
        # Empty is allowed where it is not required: that is how a form says "nothing".
        is_form, what = _FORMATS.get(schema.get("format", ""), (_is_anything, ""))
        return value if value == "" or is_form(value) else self._wrong(path, what)

    def _is_matched(self, pattern: str, value: str) -> bool:
        """Whether the pattern fits; never where more is to be matched than settings may hold in all."""
        self._matched_chars += len(value)
        return self._matched_chars <= SETTINGS_BYTES_MAX and understood(pattern).is_in(value)

    def _integer(self, schema: Schema, value: Any, path: str) -> Any:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value.bit_length() > INTEGER_BITS:
            return self._wrong(path, "must be a whole number")
        return self._within(schema, value, path)

    def _number(self, schema: Schema, value: Any, path: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
            return self._wrong(path, "must be a number")
        return self._within(schema, value, path)

    def _within(self, schema: Schema, value: float, path: str) -> Any:
        if value < schema.get("minimum", value):
            return self._wrong(path, f"must be at least {schema['minimum']}")
        if value > schema.get("maximum", value):
            return self._wrong(path, f"must be at most {schema['maximum']}")
        return value

    def _boolean(self, _schema: Schema, value: Any, path: str) -> Any:
        return value if isinstance(value, bool) else self._wrong(path, "must be true or false")

    def _array(self, schema: Schema, value: Any, path: str) -> Any:
        if not isinstance(value, (list, tuple)):
            return self._wrong(path, "must be a list")
        least, most = schema.get("minItems", 0), schema.get("maxItems", ITEMS_MAX)
        if not least <= len(value) <= most:
            return self._wrong(path, f"must have {_from_to(least, most)} entries")
        items = schema.get("items")
        if items is None:
            return self._free(list(value), path)
        kept = [self.value(items, item, _joined(path, str(index))) for index, item in enumerate(value)]
        return [item for item in kept if item is not _ABSENT]

    def _object(self, schema: Schema, value: Any, path: str) -> Any:
        if not isinstance(value, Mapping):
            return self._wrong(path, "must be a table")
        if "properties" not in schema:
            return self._free(dict(value), path)
        required = schema.get("required")
        return self.fields(
            schema["properties"], value, required=required if isinstance(required, (list, tuple)) else (), path=path
        )

    def _free(self, value: Any, path: str) -> Any:
        return (
            value if _is_json(value, DEPTH_MAX) else self._wrong(path, f"must be JSON, at most {DEPTH_MAX} levels deep")
        )


_TYPES: Mapping[str, Callable[[_Check, Schema, Any, str], Any]] = {
    "string": _Check._string,
    "integer": _Check._integer,
    "number": _Check._number,
    "boolean": _Check._boolean,
    "array": _Check._array,
    "object": _Check._object,
}


def _is_anything(_text: str) -> bool:
    return True


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _port = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and text.isprintable() and " " not in text


def _is_uri(text: str) -> bool:
    return _URI.fullmatch(text) is not None and text.isprintable()


def _is_folder(text: str) -> bool:
    return text.startswith(("/", "~/")) and text.isprintable()


_FORMATS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "url": (_is_url, "must be a web address that begins with http:// or https://"),
    "uri": (_is_uri, "must be an address such as imaps://example.org"),
    "folder": (_is_folder, "must be a folder's whole path, beginning with / or ~/"),
    "password": (_is_anything, ""),
}
FORMATS = frozenset(_FORMATS)
TYPES = frozenset(_TYPES)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _from_to(least: int, most: int) -> str:
    return f"{least} to {most}" if least else f"at most {most}"


def _is_same(value: Any, choice: Any) -> bool:
    # True equals 1 in Python, and not in JSON.
    return value == choice and isinstance(value, bool) == isinstance(choice, bool)


def _is_finite(value: float) -> bool:
    return value.bit_length() <= INTEGER_BITS if isinstance(value, int) else math.isfinite(value)


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_json(value: Any, depth: int) -> bool:
    if isinstance(value, str):
        return _is_encodable(value)
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, (int, float)):
        return _is_finite(value)
    if depth == 0:
        return False
    if isinstance(value, Mapping):
        return all(
            isinstance(name, str) and _is_encodable(name) and _is_json(v, depth - 1) for name, v in value.items()
        )
    return isinstance(value, (list, tuple)) and all(_is_json(item, depth - 1) for item in value)

"""JSON, read strictly: an object in which a name stands twice is none: readers differ in which they take."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from core.model.fact import JsonObject

# A text, and whether it is a name; or where an object begins or ends.
_TOKENS = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")([ \t\r\n]*+:)?|[{}]')
_BEGIN = b"{"


def decode_strictly(text: bytes) -> Any:
    """What `text` says; raises ValueError for what is no JSON in UTF-8, not finite, or has a name twice in an object.

    >>> decode_strictly(b'{"a":1,"b":[2]}')
    {'a': 1, 'b': [2]}
    """
    try:
        document = _decode(text)
        is_suspect = _may_repeat_a_name(text, document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as err:
        raise ValueError("no JSON") from err
    if is_suspect and _repeats_a_name(text):
        raise ValueError("a name stands twice in an object")
    return document


def decode_object(text: bytes) -> JsonObject:
    """The object in `text`; raises ValueError where it holds something else, as for what cannot be read."""
    document = decode_strictly(text)
    if not isinstance(document, dict):
        raise ValueError("no object")
    return document


def _may_repeat_a_name(text: bytes, document: Any) -> bool:
    """Whether names may stand twice: each member and text brings its colons, unless one is an escape."""
    return text.count(b":") != _encode(document).count(b":") or b"\\u003a" in text or b"\\u003A" in text


def _repeats_a_name(text: bytes) -> bool:
    """Whether a name stands twice in an object of `text`, which is JSON; holds no more than the open objects' names."""
    open_names: list[set[bytes]] = []
    for token in _TOKENS.finditer(text):
        if token[2] is not None:
            name = token[1] if b"\\" not in token[1] else _encode(_decode(token[1]))
            if name in open_names[-1]:
                return True
            open_names[-1].add(name)
        elif token[1] is None:
            if token[0] == _BEGIN:
                open_names.append(set())
            else:
                open_names.pop()
    return False


_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

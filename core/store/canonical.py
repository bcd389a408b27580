"""The canonical form at the pace of a first load: equal to the model's, by asking it wherever there is any doubt."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from core.model.fact import VALUE_DEPTH_MAX, canonical_json

_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.decode

# Floats have a form of their own in RFC 8785. A text with the same letters goes to the model too, and is right there.
_FLOAT = re.compile(rb"[:,\[]-?\d+[.eE]")
# Letters beyond the basic plane sort differently in UTF-16, which RFC 8785 orders names by.
_ASTRAL = re.compile(rb"[\xf0-\xf4]")


def canonical(value: Any) -> bytes:
    """As `canonical_json`, about three times as fast for plain values; raises BadRecord as it does."""
    try:
        encoded = _encode_sorted(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return canonical_json(value)
    if _is_canonical(encoded) and _decode(encoded) == value:
        return encoded
    return canonical_json(value)


def _is_canonical(encoded: bytes) -> bool:
    """Whether sorting was all that `encoded` needed, provided it decodes to what was meant.

    The decoding tells what the encoder let through: NaN written as null, names that are numbers, dates, sets.
    """
    if encoded.count(b"{") + encoded.count(b"[") > VALUE_DEPTH_MAX:
        return False
    return _FLOAT.search(encoded) is None and (encoded.isascii() or _ASTRAL.search(encoded) is None)

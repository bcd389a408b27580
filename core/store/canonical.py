"""The canonical form at the pace of a first load: equal to the model's, by asking it wherever there is any doubt."""

from __future__ import annotations

import re
from typing import Any, NoReturn

import msgspec

from core.model.fact import VALUE_DEPTH_MAX, canonical_json

# Letters beyond the basic plane sort differently in UTF-16, which RFC 8785 orders names by.
_ASTRAL = re.compile(rb"[\xf0-\xf4]")


def canonical(value: Any) -> bytes:
    """As `canonical_json`, about three times as fast for plain values; raises BadRecord as it does."""
    try:
        encoded = _encode_sorted(value)
        # Decoding tells what the encoder let through: NaN as null, names that are numbers, dates, sets, floats.
        if _is_plain(encoded) and _decode_without_floats(encoded) == value:
            return encoded
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass
    return canonical_json(value)


def _is_plain(encoded: bytes) -> bool:
    """Whether its depth is within bounds for certain, and the order of its names that of RFC 8785."""
    if encoded.count(b"{") + encoded.count(b"[") > VALUE_DEPTH_MAX:
        return False
    return encoded.isascii() or _ASTRAL.search(encoded) is None


def _refuse_float(digits: str) -> NoReturn:
    raise ValueError(f"{digits} is written in a form of its own in RFC 8785")


_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode_without_floats = msgspec.json.Decoder(float_hook=_refuse_float).decode

"""The one form of a JSON document that is hashed: RFC 8785, with integers as exact decimal digits of any size."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from core.model.errors import BadRecord

VALUE_DEPTH_MAX = 64

# Letters beyond the basic plane sort differently in UTF-16, which RFC 8785 orders names by.
_ASTRAL = re.compile(rb"[\xf0-\xf4]")
# Values that are written in one way alone.
_PLAIN_TYPES = frozenset({str, int, bool, type(None)})


def canonical_json(value: Any) -> bytes:
    """`value` in canonical form; plain values go at the pace of a first load, all others letter by letter.

    Raises BadRecord for what JSON cannot say: NaN, infinities, keys that are not text, lone surrogates; and for
    integers of more than 4300 digits, which Python reads from no text.
    """
    try:
        encoded = sorted_json(value)
        if is_canonical(encoded, value):
            return encoded
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass
    return written_out(value)


def is_canonical(encoded: bytes, value: Any) -> bool:
    """Whether what `sorted_json` made of `value` is its canonical form for certain."""
    try:
        if type(value) is dict and _PLAIN_TYPES.issuperset(map(type, value.values())) and "".join(value).isascii():
            return True
        # Decoding tells what the encoder let through: NaN as null, names that are numbers, dates, sets, floats.
        return _is_plain(encoded) and bool(_decode_without_floats(encoded) == value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False


def written_out(value: Any) -> bytes:
    """The canonical form by the letter of the rule: what the quick way above must equal."""
    try:
        return _canonical(value).encode("utf-8")
    except UnicodeEncodeError as err:
        raise BadRecord(f"the value is not JSON: {err}") from err


def _is_plain(encoded: bytes) -> bool:
    """Whether its depth is within bounds for certain, and the order of its names that of RFC 8785."""
    if encoded.count(b"{") + encoded.count(b"[") > VALUE_DEPTH_MAX:
        return False
    return encoded.isascii() or _ASTRAL.search(encoded) is None


def _refuse_float(digits: str) -> NoReturn:
    raise ValueError(f"{digits} is written in a form of its own in RFC 8785")


def _canonical(value: Any, depth: int = 0) -> str:
    if depth > VALUE_DEPTH_MAX:
        raise BadRecord(f"the value is nested deeper than {VALUE_DEPTH_MAX} levels")
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise BadRecord(f"the key {name!r} is not text")
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{_text(n)}:{_canonical(value[n], depth + 1)}" for n in names) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_canonical(item, depth + 1) for item in value) + "]"
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return _number(value)
    raise BadRecord(f"the value holds a {type(value).__name__}, which JSON has no form for")


def _text(text: str) -> str:
    return _encode_text(text).decode("utf-8")


def _integer(number: int) -> str:
    try:
        return str(number)
    except ValueError as err:
        raise BadRecord("the value holds an integer of more than 4300 digits") from err


def _number(number: float) -> str:
    """A float as ECMAScript's Number::toString writes it (RFC 8785 section 3.2.2.3)."""
    if not math.isfinite(number):
        raise BadRecord(f"{number} is not a JSON number")
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = f"{point - 1:+d}"
    return f"{sign}{digits[0]}{'.' + digits[1:] if digits[1:] else ''}e{power}"


sorted_json = msgspec.json.Encoder(order="sorted").encode
_encode_text = msgspec.json.Encoder().encode
_decode_without_floats = msgspec.json.Decoder(float_hook=_refuse_float).decode

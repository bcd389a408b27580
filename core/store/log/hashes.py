"""Which hashes of a value are taken for right: ours, and that of the Ruby client, which writes floats its own way."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import msgspec

_WHOLE_SCIENTIFIC_FROM = 1e15

_encode = msgspec.json.encode


def is_hash_of(value: Mapping[str, Any], canonical: bytes, given: str) -> bool:
    """Whether `given` (hex) is the hash of `value`, whose canonical form is `canonical`, in one of the two forms."""
    if hashlib.sha256(canonical).hexdigest() == given:
        return True
    return hashlib.sha256(ruby_form(value).encode()).hexdigest() == given


def ruby_form(value: Any) -> str:
    """`value` as Ruby's JSON.generate writes it with sorted keys: floats keep their point, keys sort by their bytes.

    >>> ruby_form({"b": 1.0, "a": [1e20, 1.5e-07, 2]})
    '{"a":[1.0e+20,1.5e-07,2],"b":1.0}'
    """
    if isinstance(value, Mapping):
        names = sorted(value, key=lambda name: name.encode())
        return "{" + ",".join(f"{_encode(name).decode()}:{ruby_form(value[name])}" for name in names) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(ruby_form, value)) + "]"
    if isinstance(value, float) and math.isfinite(value):
        return _float(value)
    return _encode(value).decode()


def _float(number: float) -> str:
    """As Float#to_s: plain from 1e-4 to below 1e15, else one digit before the point and two of exponent at least.

    From 1e15 on a number with a fraction stays plain too.
    """
    mantissa, _, power = f"{number!r}".partition("e")
    if not power and abs(number) >= _WHOLE_SCIENTIFIC_FROM and number.is_integer():
        sign, whole = "-" if number < 0 else "", mantissa.lstrip("-").removesuffix(".0")
        digits = whole.rstrip("0")
        mantissa, power = f"{sign}{digits[0]}.{digits[1:] or '0'}", f"{len(whole) - 1}"
    if not power:
        return mantissa
    if "." not in mantissa:
        mantissa += ".0"
    return f"{mantissa}e{int(power):+03d}"

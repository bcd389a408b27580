"""Numbers in facts compared exactly, by SQL as Python compares them.

SQLite compares integers up to 64 bits and floats exactly. An integer past 64 bits it reads as a float near it, so where
it is compared with another such number its digits are compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from core.model.filter import Literal

Add = Callable[[Any], str]

_INT64 = 2**63


def is_small(literal: Literal) -> bool:
    """Whether a literal is a number without a unit that SQLite compares exactly by itself."""
    number = literal.value
    return not isinstance(number, str) and not literal.unit and -_INT64 <= number < _INT64


def number_test(number: int | float, relation: str, *, type_: str, value: str, digits: str, add: Add) -> str:
    """That a JSON number stands in the relation (`== < <= > >=`) to `number`.

    `type_`, `value` and `digits` are expressions: its JSON type, what `json_extract` gives, its text as JSON.
    """
    if -_INT64 <= number < _INT64:
        # An integer past 64 bits reads as a float past them too, so it stands on the right side of this one.
        return f"({value} {sql_of(relation)} {add(number)} AND {type_} IN ('integer', 'real'))"
    whole = int(number)
    beyond = str(int((relation[0] == "<") == (whole > 0) and relation != "=="))
    of_digits = f"CASE WHEN ({digits} GLOB '-*') = {int(whole < 0)} THEN {_by_digits(whole, relation, digits, add)}"
    of_integer = f"CASE typeof({value}) WHEN 'integer' THEN {beyond} ELSE {of_digits} ELSE {beyond} END END"
    return (
        f"(CASE {type_} WHEN 'real' THEN {_of_float(whole, relation, value, add)} WHEN 'integer' THEN {of_integer} END)"
    )


def sql_of(relation: str) -> str:
    """How SQL writes the relation."""
    return "=" if relation == "==" else relation


def _by_digits(whole: int, relation: str, digits: str, add: Add) -> str:
    """Both of one sign: the longer is further from zero, and of two as long the one with the greater digits."""
    text = str(abs(whole))
    theirs, ours = f"(length(ltrim({digits}, '-')), ltrim({digits}, '-'))", f"({add(len(text))}, {add(text)})"
    return f"{theirs} {sql_of(relation)} {ours}" if whole > 0 else f"{ours} {sql_of(relation)} {theirs}"


def _of_float(whole: int, relation: str, value: str, add: Add) -> str:
    """The relation of a float to an integer that no float may equal: to the floats next to it instead."""
    try:
        near = float(whole)
    except OverflowError:
        near = math.inf if whole > 0 else -math.inf
    above = near if near >= whole else math.nextafter(near, math.inf)
    below = near if near <= whole else math.nextafter(near, -math.inf)
    if relation == "==":
        return f"{value} = {add(near)}" if above == below else "0"
    return f"{value} {relation} {add(above if relation in ('<', '>=') else below)}"

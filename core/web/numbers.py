"""Whole numbers as queries and forms give them."""

from __future__ import annotations

from collections.abc import Mapping

from core.model.errors import BadRequest

# Ids and positions of rows; SQLite counts no further.
POSITION_MAX = 2**62
DIGITS_MAX = 19


def whole(given: Mapping[str, str], name: str, *, otherwise: int | None, least: int = 1, most: int) -> int:
    """The number of that name, or `otherwise` where there is none.

    Raises BadRequest for what is no decimal number from `least` to `most`, and for a missing one without `otherwise`.

    >>> whole({"limit": "20"}, "limit", otherwise=100, most=500), whole({}, "limit", otherwise=100, most=500)
    (20, 100)
    """
    text = given.get(name)
    if text is None and otherwise is not None:
        return otherwise
    is_number = text is not None and text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX
    if text is None or not is_number or not least <= int(text) <= most:
        raise BadRequest(f"{name} must be a whole number from {least} to {most}.")
    return int(text)

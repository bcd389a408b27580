"""Where a page ended, as one opaque word that fits into a query: the `next` of one page, the `after` of the other."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from core.model.errors import BadRequest

T = TypeVar("T")


def word_of(place: msgspec.Struct) -> str:
    """The word for `place`."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(word: str, form: type[T]) -> T:
    """The place that `word` stands for; BadRequest for a word that no page of this kind gave."""
    try:
        text = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(text, type=form)
    except (binascii.Error, msgspec.MsgspecError, ValueError, RecursionError) as err:
        raise BadRequest("after is no page's end in this order", remedy="Use the next of the page before.") from err

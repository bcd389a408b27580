"""What a server's reply says, in a store's own forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from core.model.errors import AnswerInvalid
from core.model.fact import Fact, JsonObject
from core.netstore import facts
from core.netstore.protocol import Cursor

T = TypeVar("T")


class Stretch(msgspec.Struct, frozen=True):
    """A page of the log as it came: its facts unread, where the next one begins (None: there is none), and the head."""

    facts: msgspec.Raw
    head: int
    next: Cursor | None

    def read(self) -> list[Fact]:
        """The facts; raises AnswerInvalid where they are none."""
        try:
            return [facts.fact_from(one) for one in _read_facts(self.facts)]
        except msgspec.MsgspecError as err:
            raise AnswerInvalid(f"the server sent facts that are none: {err}") from err


def read_stretch(body: bytes) -> Stretch | None:
    """The page in a reply's body; None where it is none."""
    try:
        return _read_stretch(body)
    except (msgspec.MsgspecError, RecursionError):
        return None


def read(reply: Mapping[str, Any], name: str, form: type[T]) -> T:
    """A member of a reply; raises AnswerInvalid where it is not what it must be."""
    return whole(reply.get(name), form)


def whole(value: Any, form: type[T]) -> T:
    """What came as a value of our own; raises AnswerInvalid where it is none."""
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError as err:
        raise AnswerInvalid(f"the server's reply does not fit: {err}") from err


def facts_in(reply: Mapping[str, Any]) -> list[Fact]:
    """The facts that a reply bears."""
    return [fact_in(document) for document in read(reply, "facts", list[JsonObject])]


def fact_in(document: Mapping[str, Any]) -> Fact:
    """The fact that a document is."""
    try:
        return facts.fact_of(document)
    except msgspec.ValidationError as err:
        raise AnswerInvalid(f"the server sent a fact that is none: {err}") from err


_read_stretch = msgspec.json.Decoder(Stretch).decode
_read_facts = msgspec.json.Decoder(list[facts.WireFact]).decode

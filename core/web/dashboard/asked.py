"""What a list of records is asked for: a filter, an order, a day of the past; and what there is to be asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from core.model.errors import BadRequest, CursorTooOld, LockerError, TooBusy
from core.model.fact import Record
from core.model.filter import Filter, Path, parse, predicate
from core.model.manifest import TypeSpec
from core.store import AsOf, AtTime
from core.web.dashboard.values import at_path
from core.web.dashboard.visit import Trouble, Visit, query_of

NEWEST = "newest"
EXAMPLES_MAX = 3
EXAMPLE_RECORDS = 10
EXAMPLE_LETTERS_MAX = 24
WORD_LETTERS_MIN = 4
# What a page asks in vain is told on the page: it was the question, or it passes.
UNANSWERED = (BadRequest, CursorTooOld, TooBusy)


@dataclass(frozen=True)
class Order:
    """One way to sort a list: as it is asked for, and as it is called."""

    name: str
    label: str


@dataclass(frozen=True)
class Asked:
    """What the address of a list asks, as it was typed; `fault` is what is wrong with the filter."""

    filter: str = ""
    order: str = NEWEST
    as_of: str = ""
    where: Filter | None = None
    moment: AsOf | None = None
    fault: Trouble | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is the list as it is today, unfiltered."""
        return not self.filter and not self.as_of

    def href(self, **changes: str) -> str:
        """The same question, with these things asked otherwise."""
        said = {"filter": self.filter, "order": self.order, "as_of": self.as_of, **changes}
        if said["order"] == NEWEST:
            del said["order"]
        return query_of(said)


def asked_of(visit: Visit) -> Asked:
    """What the visit's address asks; raises BadRequest for a day that is none."""
    text = visit.query.get("filter", "").strip()
    where, fault = None, None
    if text:
        try:
            where = parse(text)
        except BadRequest as error:
            fault = Trouble.of(error)
    as_of = visit.query.get("as_of", "").strip()
    order = visit.query.get("order") or NEWEST
    return Asked(text, order, as_of, where, moment_of(visit, as_of), fault)


def asked_or_trouble(visit: Visit) -> tuple[Asked, Trouble | None]:
    """What the visit's address asks; where its day is none, a question that asks nothing, and why."""
    try:
        return asked_of(visit), None
    except BadRequest as error:
        return Asked(), Trouble.of(error)


def moment_of(visit: Visit, text: str) -> AsOf | None:
    """The end of the day that is named, on the owner's clock; None where none is."""
    return AtTime(visit.parts.library.moment(text)) if text else None


def day_words(text: str) -> str:
    """A day as a person says it.

    >>> day_words("2026-03-09"), day_words("2026-03-09T10:00:00Z")
    ('9 Mar 2026', '2026-03-09T10:00:00Z')
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return text
    return f"{day.day} {day:%b %Y}"


def trouble_of(error: LockerError) -> Trouble:
    """Why a question had no answer, as the page says it."""
    if isinstance(error, CursorTooOld):
        return Trouble("", "What was before that day is not retained here.", "Choose a later day.", error.status)
    return Trouble.of(error)


def orders(spec: TypeSpec) -> list[Order]:
    """The ways in which records of the type can be sorted."""
    found = [Order(NEWEST, "newest first"), Order("key", "by key")]
    for path in spec.index:
        name, said = written(path), " › ".join(path.split("."))
        found += [Order(name, f"by {said}, rising"), Order(f"-{name}", f"by {said}, falling")]
    return found


def written(path: str) -> str:
    """A declared path as the filter language writes it.

    >>> written("owner.login"), written("Home Town")
    ('owner->login', '`Home Town`')
    """
    return str(Path(tuple(path.split("."))))


def sorted_by(spec: TypeSpec, order: str) -> str | None:
    """The declared path that an order goes by."""
    return next((path for path in spec.index if written(path) == order.removeprefix("-")), None)


def examples(spec: TypeSpec, records: Sequence[Record]) -> list[str]:
    """Filters that fit some of these records: by the fields that are declared for asking first, then by others."""
    found: list[str] = []
    members = (name for name in _members(records[:EXAMPLE_RECORDS]) if name != spec.key)
    for path in dict.fromkeys((*spec.index, *members)):
        said = next((text for record in records if (text := _example(path, at_path(record.value, path)))), None)
        if said is not None and _fits(said, spec, records):
            found.append(said)
        if len(found) >= EXAMPLES_MAX:
            break
    return found


def _members(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        yield from (name for name in record.value if "." not in name)


def _example(path: str, value: Any) -> str | None:
    name = written(path)
    if isinstance(value, bool):
        return f"{name} == {'true' if value else 'false'}"
    if isinstance(value, int | float):
        return f"{name} >= {value}"
    if not isinstance(value, str) or not value.isprintable():
        return None
    if 0 < len(value) <= EXAMPLE_LETTERS_MAX and " " not in value:
        return f"{name} == {_quoted(value)}"
    word = next((word for word in value.split() if word.isalpha() and len(word) >= WORD_LETTERS_MIN), "")
    return f"{name} contains {_quoted(word)}" if 0 < len(word) <= EXAMPLE_LETTERS_MAX else None


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\{letter}" if letter in '"\\$' else letter for letter in text) + '"'


def _fits(text: str, spec: TypeSpec, records: Sequence[Record]) -> bool:
    """Whether the filter can be read and fits some record: a name of an odd kind may mean something else."""
    try:
        judge = predicate(parse(text), spec)
    except BadRequest:
        return False
    return any(judge(record.value, record.common) for record in records)

"""How facts become current: which fact of a key counts, since when, and what a record shows beside its value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from core.model.fact import JsonObject
from core.model.manifest import TypeSpec
from core.store.moments import moment
from core.store.paths import value_at

Rev = tuple[int, int]

FIRST_GENERATION = 0


class Version(NamedTuple):
    """A fact as the fold weighs it: of a key's facts the one with the greatest (`rev`, `value_hash`) counts."""

    seq: int
    rev: Rev
    value_hash: bytes
    known_at: float


class Span(NamedTuple):
    """Up to which position and which time a fact counted; its own, where it never did."""

    seq: int
    until_seq: int
    until_known: float


def weighed(versions: Iterable[Version]) -> tuple[int, list[Span]]:
    """The seq of the fact that counts among all of one key, and the span of each of the others.

    As of a position a fact counts unless a greater one came before that position; as of a time, unless a greater
    one was known by then.
    """
    first, *others = sorted(versions, key=lambda version: (version.rev, version.value_hash, -version.seq), reverse=True)
    seq, known_at = first.seq, first.known_at
    spans = []
    for version in others:
        spans.append(Span(version.seq, max(version.seq, seq), max(version.known_at, known_at)))
        seq, known_at = min(seq, version.seq), min(known_at, version.known_at)
    return first.seq, spans


def rev_above(replaced: Rev | None, *, order_key: int | None, known_at: float) -> Rev:
    """The `rev` of a local commit: always above the one it replaces, so that on one device rev order is seq order.

    The source's own order key counts when it is greater; otherwise the generation does.
    """
    order = order_key if order_key is not None else int(known_at * 1000)
    if replaced is None:
        return FIRST_GENERATION, order
    generation, replaced_order = replaced
    return (generation, order) if order > replaced_order else (generation + 1, order)


def declared_at(spec: TypeSpec, value: JsonObject) -> float | None:
    """The moment at the type's declared time path; None where there is none."""
    return None if spec.time is None else moment(value_at(value, spec.time))


def common_of(spec: TypeSpec, value: JsonObject, own: JsonObject) -> JsonObject:
    """The shared fields: those declared by path, the title too, computed from `value`; code that computed one wins."""
    paths = shared_paths(spec)
    declared = {field: found for field, path in paths.items() if (found := value_at(value, path)) is not None}
    return {**declared, **own}


def shared_paths(spec: TypeSpec) -> Mapping[str, str]:
    """Where in the value the shared fields stand that are declared by path, the title too."""
    return {"title": spec.title, **spec.common} if spec.title is not None else spec.common


def at_of(declared: float | None, *, valid_time: float | None, known_at: float) -> float:
    """Where a record stands in time: its declared moment, else its valid time, else when it became known."""
    if declared is not None:
        return declared
    return known_at if valid_time is None else valid_time

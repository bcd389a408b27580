"""How facts become current: which fact of a key counts, and what a record shows beside its value."""

from __future__ import annotations

from core.model.fact import JsonObject
from core.model.manifest import TypeSpec
from core.store.moments import moment
from core.store.paths import value_at

Rev = tuple[int, int]

FIRST_GENERATION = 0


def rev_above(replaced: Rev | None, *, order_key: int | None, known_at: float) -> Rev:
    """The `rev` of a local commit: always above the one it replaces, so that on one device rev order is seq order.

    The source's own order key counts when it is greater; otherwise the generation does.
    """
    order = order_key if order_key is not None else int(known_at * 1000)
    if replaced is None:
        return FIRST_GENERATION, order
    generation, replaced_order = replaced
    return (generation, order) if order > replaced_order else (generation + 1, order)


def valid_time_of(spec: TypeSpec, value: JsonObject, given: float | None) -> float | None:
    """The moment the record speaks of: as given with the change, else what its declared time path says."""
    if given is not None or spec.time is None:
        return given
    return moment(value_at(value, spec.time))


def at_of(spec: TypeSpec, value: JsonObject, *, valid_time: float | None, known_at: float) -> float:
    """Where the record stands in time: its declared time, else its valid time, else when it became known."""
    declared = moment(value_at(value, spec.time)) if spec.time is not None else None
    if declared is not None:
        return declared
    return known_at if valid_time is None else valid_time


def common_of(spec: TypeSpec, value: JsonObject, own: JsonObject) -> JsonObject:
    """The shared fields: those declared by path, the title too, computed from `value`; code that computed one wins."""
    paths = {"title": spec.title, **spec.common} if spec.title is not None else spec.common
    declared = {field: found for field, path in paths.items() if (found := value_at(value, path)) is not None}
    return {**declared, **own}

"""Documents and filters as hypothesis draws them: few names, so that they meet; values where two readings may part."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from core.model.filter import And, Compare, Contains, Every, Filter, Has, In, Literal, Missing, Or, Path, Spec, Symbol
from core.model.manifest import TypeSpec

NAMES = (
    "a", "b", "title", "at", "0", "1", 'q"uote', "back\\slash", "d.o.t", "[0]", "ü", "😀", "nul\x00", "_kind", "val",
)  # fmt: skip
TEXTS = ("", "a", "A", "ab", "b", "1", "true", "null", "\x00", "￿", "😀", "é", "é", "2026-11-20", "[1]", '{"a":1}')
NUMBERS: tuple[int | float, ...] = (
    0, -0.0, 1, 1.0, -1, 0.1, 0.30000000000000004, 5e-324, 1.7976931348623157e308, 2**53 + 1, float(2**53), 2**63 - 1,
    2**63, float(2**63), 2**63 + 1, -(2**63), -(2**63) - 1, 2**64, 10**20, 1e20, 10**20 + 1, 10**30, -(10**30), 1e30,
    10**400, -(10**400), 22648002380585062848242753104293945342500225680,
)  # fmt: skip
SPEC = TypeSpec(name="thing", title="b", index=("a", "title"), common={"at": "a.b", "text": "1.a"})

texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
numbers = st.sampled_from(NUMBERS) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
marks = st.sampled_from(["a", "b", "ab"])
kinded = st.fixed_dictionaries(
    {"_kind": st.sampled_from(["ref", "uri", "symbol", "number", "date", "x"]), "val": marks | numbers | st.none()},
    optional={"unit": st.sampled_from(["kg", "°F"]), "dis": marks},
)
scalars = st.none() | st.booleans() | numbers | texts | kinded
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
documents: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.sampled_from(NAMES), values, max_size=4)

literals = st.one_of(
    texts.map(lambda text: Literal("text", text)),
    numbers.map(lambda number: Literal("number", number)),
    st.booleans().map(lambda truth: Literal("bool", truth)),
    st.tuples(numbers, st.sampled_from(["kg", "°F"])).map(lambda pair: Literal("number", *pair)),
    st.tuples(st.sampled_from(["ref", "uri", "symbol"]), marks).map(lambda pair: Literal(*pair)),
    st.sampled_from([Literal("date", "2026-11-20"), Literal("time", "09:00"), Literal("date", "b")]),
)
paths = st.builds(Path, st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple), st.booleans())
terms: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Compare, paths, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), literals),
    st.builds(Has, paths),
    st.builds(Missing, paths),
    st.builds(In, paths, st.lists(literals, min_size=1, max_size=3).map(tuple)),
    st.builds(Contains, paths, literals),
    st.sampled_from([Every(), Symbol("a-b"), Spec("Site")]),
)
filters: st.SearchStrategy[Filter] = st.recursive(
    terms,
    lambda inner: (
        st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple))
    ),
    max_leaves=4,
)

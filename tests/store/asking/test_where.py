"""A filter as SQL: it finds what the predicate finds, whatever the documents hold."""

from __future__ import annotations

from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model.canonical import canonical_json
from core.model.filter import Compare, Filter, Literal, Path, parse, predicate
from core.model.manifest import TypeSpec
from core.store.asking.where import Parameters, condition
from core.store.log.fold import common_of
from tests.model import questions

PLAIN = TypeSpec(name="thing")


def found(tree: Filter, documents: list[tuple[Any, Any]], spec: TypeSpec) -> list[int]:
    """The places of the documents that the condition is true for."""
    db = apsw.Connection(":memory:")
    db.execute("CREATE TABLE fact (seq INTEGER PRIMARY KEY, value TEXT NOT NULL, common TEXT) STRICT")
    rows = [(canonical_json(v).decode(), canonical_json(c).decode() if c else None) for v, c in documents]
    db.executemany("INSERT INTO fact (value, common) VALUES (?, ?)", rows)
    parameters = Parameters()
    where = condition(tree, parameters, spec)
    return [row[0] - 1 for row in db.execute(f"SELECT seq FROM fact f WHERE {where} ORDER BY seq", parameters.values)]


def expected(tree: Filter, documents: list[tuple[Any, Any]], spec: TypeSpec) -> list[int]:
    """The places of the documents that the predicate takes, read as the store reads them."""
    judge = predicate(tree, spec)
    read = [msgspec.json.decode(canonical_json(pair)) for pair in documents]
    return [place for place, (value, own) in enumerate(read) if judge(value, common_of(spec, value, own))]


@settings(max_examples=400, deadline=None)
@given(
    questions.filters,
    st.lists(st.tuples(questions.documents, questions.documents), max_size=8),
    st.sampled_from([PLAIN, questions.SPEC]),
)
def test_sql_and_predicate_agree(tree: Filter, documents: list[tuple[Any, Any]], spec: TypeSpec) -> None:
    """Booleans and ones, texts and numbers, nulls, odd names, lists on the way: one answer."""
    assert expected(tree, documents, spec) == found(tree, documents, spec)


@settings(max_examples=400, deadline=None)
@given(questions.numbers, questions.numbers, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.booleans())
def test_numbers_are_compared_exactly(there: float, asked: float, relation: Any, in_list: bool) -> None:
    """At any size, as integers or floats, in a field or in a list."""
    documents = [({"n": there, "all": [1, there], "k": {"_kind": "number", "val": there, "unit": "kg"}}, {})]
    tree: Filter = Compare(Path(("all", "1") if in_list else ("n",)), relation, Literal("number", asked))
    with_unit: Filter = Compare(Path(("k",)), relation, Literal("number", asked, "kg"))

    assert expected(tree, documents, PLAIN) == found(tree, documents, PLAIN)
    assert expected(with_unit, documents, PLAIN) == found(with_unit, documents, PLAIN)


@settings(max_examples=400, deadline=None)
@given(questions.texts, questions.texts, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
def test_texts_are_ordered_by_code_point(there: str, asked: str, relation: Any) -> None:
    """Letters beyond the basic plane too, and letters that are not printed."""
    tree = Compare(Path(("t",)), relation, Literal("text", asked))

    assert expected(tree, [({"t": there}, {})], PLAIN) == found(tree, [({"t": there}, {})], PLAIN)


@pytest.mark.parametrize("name", [*questions.NAMES, "a'b", "a]b", "$", "*", "#", "\n", "", "\\u0041", "\u2028"])
def test_a_name_of_any_letters_is_found(name: str) -> None:
    """What SQLite's paths would read as something else is a name."""
    documents = [({name: 7, "A": 8}, {}), ({"other": 7}, {})]

    assert [0] == found(Compare(Path((name,)), "==", Literal("number", 7)), documents, PLAIN)


def test_whatever_is_asked_stands_in_no_statement() -> None:
    """Names, texts and numbers are parameters; the statement is made of our own words."""
    parameters = Parameters()
    text = condition(
        parse("`rob'); DROP` == \"o'b\" and n in [4711, @fourseven] and l contains 0.25"), parameters, PLAIN
    )

    assert not any(word in text for word in ("rob", "o'b", "4711", "fourseven", "0.25"))
    assert {"o'b", 4711, "fourseven", 0.25} <= set(parameters.values)


def test_the_largest_filter_is_within_what_sqlite_takes() -> None:
    """A filter at its bounds is answered, not refused by the database."""
    many = " or ".join(["a==1"] * 120)
    deep = "(" * 32 + "a" + ")" * 32

    assert [0] == found(parse(many), [({"a": 1}, {})], questions.SPEC)
    assert [0] == found(parse(deep), [({"a": 1}, {})], PLAIN)

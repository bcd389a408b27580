"""A local commit always counts, a record stands where its type says, and code's own shared fields win."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.model.manifest import TypeSpec
from core.store.fold import at_of, common_of, rev_above, valid_time_of

SPEC = TypeSpec(name="note", time="written", common={"title": "name", "author": "by.name"})
ORDERS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))


def test_first_rev_takes_the_order_key_or_the_time() -> None:
    """Generation 0, and the source's order key, else the time in milliseconds."""
    assert (0, 7) == rev_above(None, order_key=7, known_at=1.5)
    assert (0, 1500) == rev_above(None, order_key=None, known_at=1.5)


def test_greater_order_key_keeps_the_generation_and_another_raises_it() -> None:
    """The source's order counts while it grows; else the generation tells that this came later."""
    assert (2, 8) == rev_above((2, 7), order_key=8, known_at=1.5)
    assert (3, 7) == rev_above((2, 7), order_key=7, known_at=1.5)
    assert (3, 1500) == rev_above((2, 9999), order_key=None, known_at=1.5)


@given(st.lists(st.tuples(ORDERS, st.floats(0, 1e10)), min_size=1, max_size=20))
def test_each_local_rev_is_above_the_one_before(commits: list[tuple[int | None, float]]) -> None:
    """Whatever order keys and clocks say, rev order is the order of commits."""
    revs = []
    last = None
    for order_key, known_at in commits:
        last = rev_above(last, order_key=order_key, known_at=known_at)
        revs.append(last)

    assert sorted(set(revs)) == revs


def test_at_is_the_declared_time_then_the_valid_time_then_known_at() -> None:
    """The first of the three that is there."""
    assert 86400.0 == at_of(SPEC, {"written": "1970-01-02"}, valid_time=5.0, known_at=9.0)
    assert 5.0 == at_of(SPEC, {"written": "soon"}, valid_time=5.0, known_at=9.0)
    assert 9.0 == at_of(SPEC, {}, valid_time=None, known_at=9.0)
    assert 0.0 == at_of(TypeSpec(name="bare"), {"written": "1970-01-02"}, valid_time=0.0, known_at=9.0)


def test_valid_time_given_wins_over_the_declared_time() -> None:
    """What code worked out is kept; the declared path is read where nothing was given."""
    assert 5.0 == valid_time_of(SPEC, {"written": "1970-01-02"}, 5.0)
    assert 86400.0 == valid_time_of(SPEC, {"written": "1970-01-02"}, None)
    assert valid_time_of(SPEC, {"written": "soon"}, None) is None


def test_common_is_declared_fields_under_the_codes_own() -> None:
    """A missing or null value gives no field; a field that code computed is kept."""
    value = {"name": "From the value", "by": {"name": None}}

    assert {"title": "From the value", "link": "x"} == common_of(SPEC, value, {"link": "x"})
    assert {"title": "Own"} == common_of(SPEC, value, {"title": "Own"})


def test_a_declared_title_is_a_shared_field() -> None:
    """`title` under a type says where the title stands; `common` may say otherwise."""
    assert {"title": "A"} == common_of(TypeSpec(name="book", title="name"), {"name": "A"}, {})
    assert {"title": "B"} == common_of(
        TypeSpec(name="book", title="name", common={"title": "t"}), {"name": "A", "t": "B"}, {}
    )

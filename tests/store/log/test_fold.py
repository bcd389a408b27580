"""A local commit always counts, a record stands where its type says, and code's own shared fields win."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.model.manifest import TypeSpec
from core.store.log.fold import Span, Version, at_of, common_of, declared_at, rev_above, weighed

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
    assert 86400.0 == at_of(declared_at(SPEC, {"written": "1970-01-02"}), valid_time=5.0, known_at=9.0)
    assert 5.0 == at_of(declared_at(SPEC, {"written": "soon"}), valid_time=5.0, known_at=9.0)
    assert 9.0 == at_of(declared_at(SPEC, {}), valid_time=None, known_at=9.0)
    assert 0.0 == at_of(None, valid_time=0.0, known_at=9.0)


def test_facts_in_order_count_one_after_the_other() -> None:
    """Each until the next came, in the store's order and in time."""
    versions = [Version(3, (0, 30), b"c", 30.0), Version(1, (0, 10), b"a", 10.0), Version(2, (0, 20), b"b", 20.0)]

    assert (3, [Span(2, 3, 30.0), Span(1, 2, 20.0)]) == weighed(versions)


def test_an_old_fact_that_comes_late_counts_in_time_but_never_here() -> None:
    """Imported after the newer one: as of its own time it counted, in this store's order it never did."""
    assert (1, [Span(2, 2, 20.0)]) == weighed([Version(1, (0, 20), b"b", 20.0), Version(2, (0, 10), b"a", 10.0)])


VERSIONS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from([b"a", b"b"]), st.integers(0, 5)),
    min_size=1,
    max_size=8,
)


@given(VERSIONS, st.integers(0, 9), st.integers(-1, 6))
def test_spans_say_what_folding_anew_says(parts: list[tuple[int, int, bytes, int]], position: int, time: int) -> None:
    """As of any position and any time, the spans name the fact that the greatest weight names."""
    versions = [Version(seq, (gen, order), known, float(at)) for seq, (gen, order, known, at) in enumerate(parts, 1)]
    winner, spans = weighed(versions)
    until = {winner: (float("inf"), float("inf")), **{span.seq: span[1:] for span in spans}}

    here = [v for v in versions if v.seq <= position]
    known = [v for v in versions if v.known_at <= time]
    for there, answer in (
        (here, [v.seq for v in here if position < until[v.seq][0]]),
        (known, [v.seq for v in known if time < until[v.seq][1]]),
    ):
        best = [max(there, key=lambda v: (v.rev, v.value_hash, -v.seq)).seq] if there else []
        assert best == answer


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

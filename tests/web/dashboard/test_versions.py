"""What differs between two versions: every difference is there, said shortly, and nothing that is alike is marked."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.web.dashboard.versions import (
    AROUND_LETTERS,
    FIELDS_SHOWN,
    PIECE_LETTERS_MAX,
    FieldChange,
    Piece,
    changes_between,
)

LETTERS_MAX = PIECE_LETTERS_MAX + 2 * (AROUND_LETTERS + 1)


def said(value: Any) -> dict[str, Any]:
    """A state of this value."""
    return {"value": value, "common": {}}


def only(before: Any, after: Any) -> FieldChange:
    """The one field that differs."""
    (field,) = changes_between(said(before), said(after)).fields
    return field


def test_each_field_has_its_name_and_both_sides() -> None:
    """Added, removed and changed; what is shared bears that it is."""
    before = {"value": {"a": 1, "gone": None, "in": {"side": [1, 2]}}, "common": {"title": "T"}}
    after = {"value": {"a": True, "in": {"side": [1, 3]}, "new": ""}, "common": {"title": "U"}}

    changes = changes_between(before, after)

    assert [
        ("a", "1", "true"), ("gone", "null", None), ("in › side › 1", "2", "3"), ("new", None, "“”"),
        ("title (shared)", "T", "U"),
    ] == [(one.name, text(one.before), text(one.after)) for one in changes.fields]  # fmt: skip
    assert "a, gone, in, new, title (shared)" == changes.names


def text(pieces: Any) -> str | None:
    """The pieces together."""
    return None if pieces is None else "".join(piece.text for piece in pieces)


def test_only_the_words_that_differ_are_marked() -> None:
    """Of a long text they are shown with what is around them; of texts that share little, nothing is."""
    field = only({"t": "the keepers kept the lamp"}, {"t": "the keepers lost the lamp"})
    far = only({"t": "x " * 400 + "kept" + " y" * 400}, {"t": "x " * 400 + "lost" + " y" * 400})

    assert (Piece("the keepers ", False), Piece("kept", True), Piece(" the lamp", False)) == field.before
    assert [Piece("lost", True)] == [piece for piece in far.after or () if piece.is_marked]
    assert LETTERS_MAX >= len(text(far.after) or "")
    assert (Piece("one thing", False),) == only({"t": "one thing"}, {"t": "quite another"}).before


@given(before=st.text(max_size=2000), after=st.text(max_size=2000), alike=st.text(max_size=500))
def test_no_text_is_lost_or_grows(before: str, after: str, alike: str) -> None:
    """Whatever the texts are: a side is bounded, and a short one is whole."""
    old, new = alike + before + alike, alike + after + alike
    if old == new:
        return

    field = only({"t": old}, {"t": new})

    for side, whole in ((field.before, old), (field.after, new)):
        shown = text(side) or ""
        assert len(shown) <= LETTERS_MAX
        assert shown == (whole or "“”") or "…" in shown


def test_many_fields_are_counted() -> None:
    """At the bound all are shown; past it the rest is counted, and past the store's own bound it is more."""
    at_bound = changes_between(said({}), said({f"f{n}": n for n in range(FIELDS_SHOWN)}))
    over = changes_between(said({}), said({f"f{n}": n for n in range(FIELDS_SHOWN + 1)}))
    many = changes_between(said({}), said({f"f{n}": n for n in range(300)}))

    assert (FIELDS_SHOWN, 0, False) == (len(at_bound.fields), at_bound.left_out, at_bound.is_more)
    assert (FIELDS_SHOWN, 1, False) == (len(over.fields), over.left_out, over.is_more)
    assert (True, "f0, f1, f2, f3, f4, f5 …") == (many.is_more, many.names)

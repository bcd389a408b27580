"""The filter language as it is read: what it says, what is a fault and where, and its bounds."""

from __future__ import annotations

import pytest

from core.model.errors import BadRequest
from core.model.filter import (
    DEPTH_MAX,
    FILTER_BYTES_MAX,
    LIST_PLACES_MAX,
    NODES_MAX,
    PATH_STEPS_MAX,
    And,
    Compare,
    Contains,
    Every,
    Filter,
    Has,
    In,
    Literal,
    Missing,
    Or,
    Path,
    Spec,
    Symbol,
    parse,
    parse_path,
)

A, B, C = Path(("a",)), Path(("b",)), Path(("c",))
ONE = Literal("number", 1)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a", Has(A)),
        ("not a", Missing(A)),
        ("*", Every()),
        ("a == 1", Compare(A, "==", ONE)),
        ("a!=1", Compare(A, "!=", ONE)),
        ("a<1", Compare(A, "<", ONE)),
        ("a >=-1", Compare(A, ">=", Literal("number", -1))),
        ("a and b or c", Or((And((Has(A), Has(B))), Has(C)))),
        ("a or b and c", Or((Has(A), And((Has(B), Has(C)))))),
        ("a and (b or c)", And((Has(A), Or((Has(B), Has(C)))))),
        ("a and b and not c", And((Has(A), Has(B), Missing(C)))),
        ("((a))", Has(A)),
        ("a->b->c", Has(Path(("a", "b", "c")))),
        ("a -> b", Has(Path(("a", "b")))),
        ("common->a", Has(Path(("a",), is_shared=True))),
        ("`common`->a", Has(Path(("common", "a")))),
        ("common", Has(Path(("common",)))),
        ("`Any Name`->`x\\`y\\\\\\u00e4`", Has(Path(("Any Name", "x`y\\ä")))),
        ("photos->`0`->url", Has(Path(("photos", "0", "url")))),
        ("`and` and `true`", And((Has(Path(("and",))), Has(Path(("true",)))))),
        ("a in [1, \"x\"]", In(A, (ONE, Literal("text", "x")))),
        ("a in (1)", In(A, (ONE,))),
        ("a contains \"x\"", Contains(A, Literal("text", "x"))),
        ("in", Has(Path(("in",)))),
        ("contains == 1", Compare(Path(("contains",)), "==", ONE)),
        ("in in [1]", In(Path(("in",)), (ONE,))),
        ("a == true and b == false", And((Compare(A, "==", Literal("bool", True)),
                                          Compare(B, "==", Literal("bool", False))))),
        ("a == @b:c-d.e~f_1", Compare(A, "==", Literal("ref", "b:c-d.e~f_1"))),
        ("a == ^hot-water", Compare(A, "==", Literal("symbol", "hot-water"))),
        ("a == `http://x/\\#y`", Compare(A, "==", Literal("uri", "http://x/\\#y"))),
        ("a < 2026-11-20", Compare(A, "<", Literal("date", "2026-11-20"))),
        ("a < 09:22", Compare(A, "<", Literal("time", "09:22"))),
        ("a < 09:22:49.5", Compare(A, "<", Literal("time", "09:22:49.5"))),
        ("a < 2026-11-20T09:22:49+01:00", Compare(A, "<", Literal("dateTime", "2026-11-20T09:22:49+01:00"))),
        ("a == 10_000", Compare(A, "==", Literal("number", 10_000))),
        ("a == 9.23kg", Compare(A, "==", Literal("number", 9.23, "kg"))),
        ("a == 75°F", Compare(A, "==", Literal("number", 75, "°F"))),
        ("a == 5%", Compare(A, "==", Literal("number", 5, "%"))),
        ("a == 3m/s", Compare(A, "==", Literal("number", 3, "m/s"))),
        ("a == 1.5e-7", Compare(A, "==", Literal("number", 1.5e-7))),
        ("a == 123456789012345678901234567890", Compare(A, "==", Literal("number", 123456789012345678901234567890))),
        ('a == "x\\n\\"\\u00e4\\ud83d\\ude00\\$"', Compare(A, "==", Literal("text", 'x\n"ä😀$'))),
        ("a // and what follows", Has(A)),
        ("a == 5//c", Compare(A, "==", Literal("number", 5))),
        ("^hot-water", Symbol("hot-water")),
        ("Site", Spec("Site")),
        ("ph.points::Site and a", And((Spec("ph.points::Site"), Has(A)))),
        (" \n a\t", Has(A)),
    ],
)  # fmt: skip
def test_what_a_filter_says(text: str, tree: Filter) -> None:
    """Haystack's grammar, quoted names, and the words in and contains."""
    assert tree == parse(text)


@pytest.mark.parametrize(
    ("text", "position", "cure"),
    [
        ("", 1, ""),
        ("  ", 3, ""),
        ("n:", 2, ""),
        ("n-foo", 2, ""),
        ("n->", 4, ""),
        ("(x", 3, ""),
        ("x)", 2, ""),
        ("n==", 4, ""),
        ('n == "abc', 6, "Close the text"),
        ("`abc", 1, "Close the name"),
        ('n == Foo("x")', 6, ""),
        ("n=3", 2, "Write =="),
        ("n == 3x5", 6, "double quotes"),
        ("n == 2026-13-01", 6, ""),
        ("n == 25:00", 6, ""),
        ("n == 1e999", 6, ""),
        ("a.b", 2, "owner->login"),
        ("a & b", 3, "and"),
        ("a || b", 3, "or"),
        ("!a", 1, "not"),
        ("a AND b", 3, "Write and."),
        ("n == 'x'", 6, "double quotes"),
        ("n == open", 6, '"open"'),
        ("n == null", 6, "not name"),
        ("n == None", 6, '"None"'),
        ("Title == 1", 1, "`Title`"),
        ("not (a)", 5, "not name"),
        ("not not a", 5, "`not`"),
        ("and", 1, "`and`"),
        ("a and", 6, ""),
        ("a b", 3, ""),
        ("a in 5", 6, ""),
        ("a in []", 7, ""),
        ("a in [1", 8, ""),
        ("a in [1)", 8, ""),
        ("a in [1,]", 9, ""),
        ("a contains", 11, ""),
        ("a->5", 4, "`5`"),
        ('n == "\\x"', 7, "backslash"),
        ('n == "\\ud83d"', 6, ""),
        ("_id == 1", 1, "backquotes"),
        ("name == -INF", 9, ""),
    ],
)
def test_a_fault_names_its_position_and_a_cure(text: str, position: int, cure: str) -> None:
    """The first letter stands at 1; every fault has a remedy, and the common ones their own."""
    with pytest.raises(BadRequest, match=f"at position {position}:") as caught:
        parse(text)

    assert cure in caught.value.remedy


def test_bounds() -> None:
    """Just within, a filter is read; just beyond, it is refused in words."""
    within = [
        "a" * FILTER_BYTES_MAX,
        "(" * DEPTH_MAX + "a" + ")" * DEPTH_MAX,
        " and ".join(["a"] * NODES_MAX),
        "->".join(["a"] * PATH_STEPS_MAX),
        "->".join(["`1`"] * LIST_PLACES_MAX),
    ]
    beyond = [
        "a" * (FILTER_BYTES_MAX + 1),
        "(" * (DEPTH_MAX + 1) + "a" + ")" * (DEPTH_MAX + 1),
        " and ".join(["a"] * (NODES_MAX + 1)),
        "->".join(["a"] * (PATH_STEPS_MAX + 1)),
        "->".join(["`1`"] * (LIST_PLACES_MAX + 1)),
        "a in [" + ",".join(["1"] * NODES_MAX) + "]",
        "a == \"\ud800\"",
    ]  # fmt: skip
    for text in within:
        parse(text)
    for text in beyond:
        with pytest.raises(BadRequest):
            parse(text)


@pytest.mark.parametrize(
    "text", ["a", "a->b", "common->a", "`common`->a", "`Any Name`->`x\\`y\\\\`", "`a\\u0001`", "`and`"]
)
def test_a_path_is_written_as_it_is_read(text: str) -> None:
    """A path's text reads as the same path."""
    path = parse_path(text)

    assert text == str(path)
    assert path == parse_path(str(path))


@pytest.mark.parametrize("text", ["", "a->", "a b", "a == 1", "not a", "*"])
def test_a_path_is_nothing_but_a_path(text: str) -> None:
    """Where a field is named, no filter may stand."""
    with pytest.raises(BadRequest, match="position"):
        parse_path(text)

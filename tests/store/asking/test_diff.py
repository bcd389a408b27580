"""What differs between two documents: pointers, kinds, bounds, and that applying the differences leads over."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.store.asking.diff import DIFFERENCES_MAX, SHOWN_BYTES_MAX, Difference, differences

values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "", "a", "a/b", "~"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "a/b", "~1", ""]), inner, max_size=3)
    ),
    max_leaves=12,
)


def told(before: Any, after: Any) -> list[tuple[Any, ...]]:
    """The differences as tuples."""
    return [(one.op, one.path, one.before, one.after) for one in differences(before, after).differences]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [("changed", "/a", 1, True)]),
        ({"a": 0}, {"a": None}, [("changed", "/a", 0, None)]),
        ({}, {"a": None}, [("added", "/a", msgspec.UNSET, None)]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("changed", "/a/b", 1, 2)]),
        ({"a": {}}, {"a": []}, [("changed", "/a", {}, [])]),
        ({"a/b": 1, "~": 2}, {}, [("removed", "/a~1b", 1, msgspec.UNSET), ("removed", "/~0", 2, msgspec.UNSET)]),
        ({"l": [1, 2]}, {"l": [0, 1, 2]}, [("added", "/l/0", msgspec.UNSET, 0)]),
        ({"l": [1, 2, 3]}, {"l": [1, 3]}, [("removed", "/l/1", 2, msgspec.UNSET)]),
        ({"l": [{"n": 1}]}, {"l": [{"n": 2}]}, [("changed", "/l/0/n", 1, 2)]),
        (1, 2, [("changed", "", 1, 2)]),
    ],
)
def test_what_differs(before: Any, after: Any, expected: list[tuple[Any, ...]]) -> None:
    """Added, removed and changed, each where it stands; the same in another writing is no difference."""
    assert expected == told(before, after)


def test_many_differences_are_bounded() -> None:
    """At the bound all are shown, beyond it so many, and it is said."""
    at, beyond = ({str(n): n for n in range(count)} for count in (DIFFERENCES_MAX, DIFFERENCES_MAX + 1))

    assert (DIFFERENCES_MAX, True) == (len(differences({}, at).differences), differences({}, at).is_complete)
    assert (DIFFERENCES_MAX, False) == (len(differences({}, beyond).differences), differences({}, beyond).is_complete)


def test_large_values_are_cut() -> None:
    """Up to the bound a value is shown whole, beyond it its beginning, and it is said."""
    within, beyond = "x" * (SHOWN_BYTES_MAX - 2), "x" * (SHOWN_BYTES_MAX - 1)

    assert [Difference(op="added", path="/a", after=within)] == differences({}, {"a": within}).differences
    cut = differences({}, {"a": beyond}).differences[0]
    assert (True, SHOWN_BYTES_MAX + 1) == (cut.is_cut, len(cut.after))


@given(values, values)
def test_the_differences_lead_from_one_to_the_other(before: Any, after: Any) -> None:
    """Removed from the end on, then added and changed in order, the earlier document becomes the later one."""
    found = differences(before, after).differences
    document = {"": copy.deepcopy(before)}
    for one in sorted((one for one in found if one.op == "removed"), key=lambda one: _places(one.path), reverse=True):
        parent, name = _parent(document, one.path)
        del parent[name]
    for one in (one for one in found if one.op != "removed"):
        parent, name = _parent(document, one.path)
        if one.op == "added" and isinstance(parent, list):
            parent.insert(name, one.after)
        else:
            parent[name] = one.after

    assert msgspec.json.encode(after, order="sorted") == msgspec.json.encode(document[""], order="sorted") or (
        [] == differences(document[""], after).differences
    )


def _names(path: str) -> list[str]:
    return [name.replace("~1", "/").replace("~0", "~") for name in path.split("/")]


def _places(path: str) -> list[tuple[int, str]]:
    return [(int(name), "") if name.isdecimal() else (-1, name) for name in _names(path)]


def _parent(document: Any, path: str) -> tuple[Any, Any]:
    *way, last = _names(path)
    for name in way:
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document, int(last) if isinstance(document, list) else last

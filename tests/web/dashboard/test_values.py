"""A record's value as a tree to look at."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.web.dashboard.values import DEPTH_MAX, NODES_MAX, TEXT_LENGTH_MAX, Node, at_path, plain, tree

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=60,
)


def nodes(node: Node) -> int:
    """How many there are."""
    return 1 + sum(nodes(child) for child in node.children)


def test_leaves_and_branches() -> None:
    """Each with its kind and its text; an address is a link, an address of this machine is not."""
    value = {"n": 1.5, "t": "x", "f": False, "none": None, "l": ["https://example.org/", "http://localhost/"]}
    root = tree("value", value)

    assert [
        ("n", "number", "1.5"),
        ("t", "text", "x"),
        ("f", "flag", "false"),
        ("none", "null", "null"),
        ("l", "list", "2 items"),
    ] == [(one.name, one.kind, one.text) for one in root.children]
    assert ["https://example.org/", None] == [one.href for one in root.children[4].children]
    assert "5 fields" == root.text


def test_a_large_value_is_cut_and_says_so() -> None:
    """The bound itself is shown whole; one more is counted as left out."""
    whole, cut = tree("v", list(range(NODES_MAX - 1))), tree("v", list(range(NODES_MAX)))

    assert (NODES_MAX, 0) == (nodes(whole), whole.left_out)
    assert (NODES_MAX, 1) == (nodes(cut), cut.left_out)


def test_a_deep_value_is_cut_and_says_so() -> None:
    """Deeper than anybody opens."""
    value: Any = "end"
    for _ in range(DEPTH_MAX + 20):
        value = [value]
    node = tree("v", value)
    while node.children:
        node = node.children[0]

    assert ("list", 1) == (node.kind, node.left_out)


@given(JSON)
def test_any_value_has_a_tree(value: Any) -> None:
    """Whatever a source sends."""
    assert nodes(tree("v", value)) <= NODES_MAX + 1


def test_long_text_is_cut() -> None:
    """To the bound, with a sign."""
    assert (TEXT_LENGTH_MAX, "…") == (len(plain("x" * (TEXT_LENGTH_MAX + 1))), plain("x" * (TEXT_LENGTH_MAX + 1))[-1])
    assert "x" * TEXT_LENGTH_MAX == plain("x" * TEXT_LENGTH_MAX)


def test_at_path() -> None:
    """Dotted, and None where it leads nowhere."""
    value = {"a": {"b": {"c": 7}}, "x": [1]}

    assert [7, None, None, None] == [at_path(value, p) for p in ("a.b.c", "a.c.b", "x.0", None)]

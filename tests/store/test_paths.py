"""Dotted paths find and leave out what a manifest names."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from core.store.paths import value_at, without


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("title", "A"),
        ("by.name", "Ada"),
        ("photos.1.url", "two"),
        ("photos.2.url", None),
        ("photos.x", None),
        ("title.length", None),
        ("nothing", None),
        ("photos.-1", None),
        ("photos.\u0661.url", None),
        ("photos.99999999999999999999", None),
    ],
)
def test_path_finds_what_stands_there_or_nothing(path: str, expected: Any) -> None:
    """A path leads through objects and lists, and ends in None where there is nothing."""
    document = {"title": "A", "by": {"name": "Ada"}, "photos": [{"url": "one"}, {"url": "two"}]}

    assert expected == value_at(document, path)


def test_without_leaves_out_and_touches_nothing_else() -> None:
    """What is left out is missing in the answer only; lists keep their places."""
    document = {"id": 1, "views": 7, "stats": {"likes": 2, "stars": 3}, "items": [{"a": 1, "b": 2}, {"a": 3}]}
    before = copy.deepcopy(document)

    left = without(document, ("views", "stats.likes", "items.0.b", "items.1", "gone.too"))

    assert {"id": 1, "stats": {"stars": 3}, "items": [{"a": 1}, None]} == left
    assert before == document

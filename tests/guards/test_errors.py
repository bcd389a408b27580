"""The error tree: its drawing equals the classes, each has what it needs, and some test meets each."""

from __future__ import annotations

import inspect
import re

import pytest

from core.model import errors
from core.model.errors import LockerError
from tests.guards.source import ROOT

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, LockerError)]
GROUPS = {errors.Retry, errors.Reauthorise, errors.UserActionNeeded, errors.Skip, errors.Reject, errors.Broken}


def test_the_drawn_tree_is_the_tree() -> None:
    """The docstring names every class under its group, in the order of the file."""
    drawn, group = [], ""
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^(    {1,2}) {0,8}(\w+)  +\w", line):
            depth = (len(line) - len(line.lstrip())) // 4
            group = match[2] if depth == 2 else group
            drawn.append((match[2], "LockerError" if depth == 2 else group))
    there = [(c.__name__, c.__mro__[1].__name__) for c in CLASSES if c is not LockerError]
    order = {c.__name__: inspect.getsourcelines(c)[1] for c in CLASSES}

    assert sorted(there, key=lambda pair: order[pair[0]]) == drawn


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_each_error_says_what_and_cure(error: type[LockerError]) -> None:
    """A code of its own, an HTTP status, a title and a remedy."""
    assert error.__doc__ and error.title and error.default_remedy.endswith(".")
    assert 400 <= error.status < 600
    assert [error] == [c for c in CLASSES if c.code == error.code]


@pytest.mark.parametrize(
    "error", [c for c in CLASSES if c not in GROUPS and c is not LockerError], ids=lambda c: c.__name__
)
def test_each_error_is_met_by_a_test(error: type[LockerError]) -> None:
    """An error nobody triggers is an error nobody read."""
    mentions = re.compile(rf"\b{error.__name__}\b|[\"'`]{error.code}[\"'`]")
    met = [p for p in (ROOT / "tests").rglob("test_*.py") if "guards" not in p.parts and mentions.search(p.read_text())]

    assert met, f"no test meets {error.__name__}"

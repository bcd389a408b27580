"""The filter language as a predicate: what matches which record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from core.model.filter import parse, predicate
from core.model.manifest import TypeSpec
from tests.model import questions

VALUE: dict[str, Any] = {
    "stars": 101,
    "half": 0.5,
    "big": 2**64 + 1,
    "name": "locker",
    "empty": "",
    "archived": False,
    "nothing": None,
    "owner": {"login": "octocat", "Home Town": "Bern"},
    "labels": ["bug", 3, None, {"_kind": "ref", "val": "x"}],
    "photos": [{"url": "one"}, {"url": "two"}],
    "pushed": "2026-11-20T09:22:49Z",
    "temp": {"_kind": "number", "val": 75, "unit": "°F"},
    "siteRef": {"_kind": "ref", "val": "s1", "dis": "Site"},
    "refs": [{"_kind": "ref", "val": "r1"}, {"_kind": "ref", "val": "r2"}],
    "day": {"_kind": "date", "val": "2026-11-20"},
    "title": "of value",
    "common": {"at": "inner"},
    "1": "one",
}
COMMON: dict[str, Any] = {"title": "of common", "at": 1795162969, "place": {"city": "Bern"}, "nothing": 5}


def matches(text: str, spec: TypeSpec | None = None) -> bool:
    """Whether the record of this page matches."""
    return predicate(parse(text), spec)(VALUE, COMMON)


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "stars",
        "not missing",
        "not owner->login->x",
        "not stars->x",
        "stars > 100 and owner->login == \"octocat\"",
        "owner->`Home Town` == \"Bern\"",
        "stars == 101.0",
        "half < 1",
        "big > 18446744073709551616",
        "big < 18446744073709551618 and big != 18446744073709551616.0",
        "archived == false",
        "archived < true",
        "empty == \"\"",
        "name >= \"lock\" and name < \"m\"",
        "name contains \"ock\"",
        "name contains \"\"",
        "labels contains \"bug\" and labels contains 3 and labels contains @x",
        "name in [1, \"locker\"]",
        "photos->`1`->url == \"two\"",
        "`1` == \"one\"",
        "pushed > 2026-11-20 and pushed < 2026-11-21",
        "pushed == 2026-11-20T09:22:49Z",
        "day == 2026-11-20 and day < 2027-01-01",
        "temp == 75°F and temp != 75°C and temp > 74.5°F",
        "temp != 75",
        "siteRef == @s1 and siteRef != @s2",
        "refs == @r1 and refs == @r2 and refs != @r1",
        "title == \"of value\"",
        "common->title == \"of common\"",
        "at == 1795162969 and common->at == 1795162969",
        "`common`->at == \"inner\"",
        "place->city == \"Bern\"",
        "nothing == 5",
        "stars != \"101\"",
        "^stars-name",
    ],
)  # fmt: skip
def test_what_matches(text: str) -> None:
    """Presence, relations within a type, lists, shared fields, and what Hayson writes."""
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "missing",
        "not stars",
        "missing == 1",
        "missing != 1",
        "missing < 1",
        "stars == \"101\"",
        "stars < \"2\"",
        "stars > false",
        "archived == 0",
        "name > 1",
        "name contains \"OCK\"",
        "name contains 1",
        "stars contains 1",
        "owner contains \"login\"",
        "labels contains \"bu\"",
        "labels == \"bug\"",
        "photos->url == \"one\"",
        "photos->`2`->url",
        "photos->`-1`->url",
        "pushed == 2026-11-20",
        "temp == 75",
        "temp == 75°C",
        "temp > 5°C",
        "siteRef == \"s1\"",
        "siteRef == @s2",
        "refs == @r3",
        "common->stars",
        "`common`->title",
        "Site",
        "^stars-missing",
        "stars in [\"101\", true]",
    ],
)  # fmt: skip
def test_what_does_not(text: str) -> None:
    """Another type never equals and stands in no order; what is missing is neither equal nor unequal."""
    assert not matches(text)


def test_a_declared_index_means_the_value() -> None:
    """Where the type declares the path, a shared field of that name does not count."""
    spec = TypeSpec(name="repo", index=("place.city", "nothing"))

    assert not matches('place->city == "Bern"', spec)
    assert not matches("nothing", spec)
    assert matches('common->place->city == "Bern"', spec)


@given(questions.filters, questions.documents, questions.documents)
def test_a_predicate_never_raises(tree: Any, value: dict[str, Any], common: dict[str, Any]) -> None:
    """Whatever a document holds, the answer is yes or no."""
    assert predicate(tree)(value, common) in (True, False)

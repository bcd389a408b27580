"""Records over HTTP: filters, orders, fields, words, counts and the past, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest, CursorTooOld, CursorUnknown, LockerError, NotFound
from core.model.fact import Change
from core.model.manifest import Manifest, TypeSpec
from core.records import DataApi, Request
from core.store import Entry, Origin, Policy, Store

REPO = TypeSpec(name="repo", title="name", text=("about",), index=("stars",))
MANIFEST = Manifest(name="git", title="Git", folder="/git", types={"repo": REPO})
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


def repo(key: str, stars: int, **more: Any) -> Change:
    """A repository."""
    return Change(type="repo", key=key, value={"name": key, "stars": stars, "about": f"{key} things", **more})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Three repositories at noon; a day later one has changed, one has come and one is gone."""
    clock = ManualClock(NOON)
    with Store.open(
        tmp_path_factory.mktemp("git") / "s", types=MANIFEST.types, origin=Origin("d/x", 1), clock=clock,
        timezone="Europe/Vienna",
    ) as store:  # fmt: skip
        store.commit([repo("a", 10, tags=["x", "y"]), repo("b", 20), repo("c", 30)])
        clock.advance(86_400)
        store.commit([repo("a", 11, tags=["y"]), Change(type="repo", key="b", action="delete"), repo("d", 5)])
        yield store


def ask(store: Store, path: str, **query: str) -> Any:
    """The answer to a GET, as JSON."""
    api = DataApi(lambda: store, manifest=MANIFEST, base="/Me/git/")
    segments = tuple(path.strip("/").split("/"))
    route = next(route for route in api.routes if route.name == segments[0])
    answer = route.handler(Request(method="GET", path=segments, query=query, headers={}))
    assert not hasattr(answer, "__await__")
    assert isinstance(answer.body, bytes)
    return msgspec.json.decode(answer.body) if answer.body else None


def keys(store: Store, **query: str) -> list[str]:
    """The keys of the records that are listed."""
    return [record["key"] for record in ask(store, "/records/repo", **query)["records"]]


def test_a_list_shows_values_as_they_are_stored(tmp_path: Path) -> None:
    """Letter by letter: the order of names, numbers past 64 bits, letters of any script; as one by one, too."""
    value = {"z": 2**70, "name": "Ünï\u2028", "stars": 1e22, "a": {"b": [None, True, -0.0, "\\"]}, "empty": {}}
    with Store.open(tmp_path / "s", types=MANIFEST.types, origin=Origin("d/x", 1), clock=ManualClock(NOON)) as store:
        store.commit([Change(type="repo", key="x y", value=value, common={"link": "l"}), repo("b", 1)])
        listed = ask(store, "/records/repo", limit="1", order="-stars")["records"]
        page = store.verbatim("repo", limit=1, order="-stars")

        assert [ask(store, "/records/repo/~eCB5")] == listed
        assert value == listed[0]["value"] == msgspec.json.decode(page.records[0].value)
        assert msgspec.json.encode(value) == bytes(page.records[0].value)
        assert {"title": "Ünï\u2028", "link": "l"} == listed[0]["common"] == page.records[0].common


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "acd"),
        ({"filter": "stars > 10"}, "ac"),
        ({"filter": 'name == "d" or stars == 30'}, "cd"),
        ({"order": "newest"}, "dac"),
        ({"order": "stars"}, "dac"),
        ({"order": "-stars"}, "cad"),
        ({"order": "-stars", "filter": "stars < 30", "limit": "1"}, "a"),
        ({"as_of": "3"}, "abc"),
        ({"as_of": "0"}, ""),
        ({"as_of": "2026-11-20"}, "abc"),
        ({"as_of": "2026-11-19"}, ""),
        ({"as_of": "2026-11-21"}, "acd"),
        ({"as_of": "2026-11-20T12:00:00Z", "order": "-stars"}, "cba"),
        ({"as_of": "2026-11-20T13:00:00 01:00"}, "abc"),
        ({"as_of": "2026-11-20T11:59:59Z"}, ""),
        ({"as_of": "3", "filter": "tags contains \"x\""}, "a"),
        ({"filter": "tags contains \"x\""}, ""),
    ],
)  # fmt: skip
def test_lists(store: Store, query: dict[str, str], expected: str) -> None:
    """By key unless asked otherwise; of the past what stood then; a day means its end where the owner lives."""
    assert list(expected) == keys(store, **query)


def test_pages_follow_each_other_in_the_past(store: Store) -> None:
    """`next` leads on as of the same moment."""
    first = ask(store, "/records/repo", as_of="3", limit="2", order="stars")
    second = ask(store, "/records/repo", as_of="3", limit="2", order="stars", after=first["next"])

    assert ["a", "b", "c"] == [record["key"] for page in (first, second) for record in page["records"]]
    assert second["next"] is None


def test_only_the_fields_that_are_asked_for(store: Store) -> None:
    """Each in its place; shared ones in `common`."""
    record = ask(store, "/records/repo", fields="stars,common->title,nothing", limit="1")["records"][0]

    assert ({"stars": 11}, {"title": "a"}) == (record["value"], record["common"])
    assert {"stars": 11} == ask(store, "/records/repo/a", fields="stars")["value"]


def test_nothing_is_counted_unless_asked(store: Store) -> None:
    """A count, and whether it is exact."""
    assert {"records", "next"} == set(ask(store, "/records/repo"))
    counted = ask(store, "/records/repo", count="true", filter="stars > 10", limit="1")

    assert (2, True) == (counted["count"], counted["count_is_exact"])


def test_a_record_as_it_stood(store: Store) -> None:
    """By position, by day and by cursor; what was not there yet is not found."""
    cursor = f"{store.epoch()}.3"

    assert [11, 10, 10, 10] == [
        ask(store, "/records/repo/a", **query)["value"]["stars"]
        for query in ({}, {"as_of": "3"}, {"as_of": "2026-11-20"}, {"as_of": cursor})
    ]
    assert 20 == ask(store, "/records/repo/b", as_of="3")["value"]["stars"]
    for key, query in (("b", {}), ("d", {"as_of": "3"})):
        with pytest.raises(NotFound):
            ask(store, f"/records/repo/{key}", **query)


def test_a_history_tells_what_each_version_changed(store: Store) -> None:
    """Field by field against the version before; the first against nothing."""
    facts = ask(store, "/records/repo/a/history", diff="true")["facts"]

    assert [("removed", "/value/tags/0"), ("changed", "/value/stars")] == [
        (one["op"], one["path"])
        for one in sorted(facts[0]["diff"]["differences"], key=lambda one: one["path"], reverse=True)
    ]
    assert (10, 11) == tuple(
        one[side]
        for one in facts[0]["diff"]["differences"]
        if one["path"] == "/value/stars"
        for side in ("before", "after")
    )
    assert {"added"} == {one["op"] for one in facts[1]["diff"]["differences"]}
    assert [1] == [fact["seq"] for fact in ask(store, "/records/repo/a/history", as_of="3")["facts"]]
    assert "diff" not in ask(store, "/records/repo/a/history")["facts"][0]


def test_what_changed_between_two_moments(store: Store) -> None:
    """Each record with what became of it, and field by field where asked."""
    told = ask(store, "/changes", **{"from": "2026-11-20", "diff": "true"})
    everything = ask(store, "/changes", **{"to": "2026-11-20", "type": "repo"})

    assert [("a", "update"), ("b", "delete"), ("d", "new")] == [(one["key"], one["action"]) for one in told["changes"]]
    assert "/value/stars" in {one["path"] for one in told["changes"][0]["diff"]["differences"]}
    assert "/Me/git/records/repo/a" == told["changes"][0]["href"]
    assert ["new"] * 3 == [one["action"] for one in everything["changes"]]
    assert [] == ask(store, "/changes", **{"from": "6"})["changes"]


def test_words_are_found_among_those_that_match(store: Store) -> None:
    """The best first, each with where the words stand."""
    deadline = 200
    while not (found := ask(store, "/records/repo", q="things", filter="stars > 5")["records"]) and deadline:
        deadline -= 1
    then = ask(store, "/records/repo", q="things", as_of="3")["records"]

    assert {"a", "c"} == {record["key"] for record in found}
    assert {"a", "b", "c"} == {record["key"] for record in then}
    assert {"rank", "title", "snippet", "value", "href"} <= set(found[0])


@pytest.mark.parametrize(
    ("path", "query", "error"),
    [
        ("/records/repo", {"filter": "stars >"}, BadRequest),
        ("/records/repo", {"filter": ""}, BadRequest),
        ("/records/repo", {"order": "name"}, BadRequest),
        ("/records/repo", {"order": ""}, BadRequest),
        ("/records/repo", {"fields": "a b"}, BadRequest),
        ("/records/repo", {"fields": ",".join(["a"] * 65)}, BadRequest),
        ("/records/repo", {"count": "yes"}, BadRequest),
        ("/records/repo", {"q": "x", "order": "key"}, BadRequest),
        ("/records/repo", {"q": "x", "count": "true"}, BadRequest),
        ("/records/repo", {"q": "x" * 1025}, BadRequest),
        ("/records/repo", {"as_of": "-1"}, BadRequest),
        ("/records/repo", {"as_of": "2026-13-01"}, BadRequest),
        ("/records/repo", {"as_of": "9999-12-31"}, BadRequest),
        ("/records/repo", {"as_of": "2026-11-20T12:00:00"}, BadRequest),
        ("/records/repo", {"as_of": "1" * 19}, BadRequest),
        ("/records/repo", {"as_of": "7"}, CursorUnknown),
        ("/records/repo", {"as_of": "00.1"}, CursorUnknown),
        ("/records/repo/a/history", {"diff": "1"}, BadRequest),
        ("/changes", {"type": "nothing"}, NotFound),
        ("/changes", {"since": "1"}, BadRequest),
        ("/changes/more", {}, NotFound),
    ],
)
def test_what_is_refused(store: Store, path: str, query: dict[str, str], error: type[LockerError]) -> None:
    """Each mistake has its error, and every error a cure."""
    with pytest.raises(error) as caught:
        ask(store, path, **query)

    assert caught.value.remedy


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/records/repo", {"as_of": "1"}),
        ("/records/repo", {"as_of": "1", "count": "true"}),
        ("/records/repo", {"as_of": "2026-11-19"}),
        ("/records/repo/a", {"as_of": "1"}),
        ("/records/repo/a/history", {"as_of": "1"}),
        ("/changes", {"from": "1"}),
        ("/changes", {"to": "1"}),
        ("/changes", {}),
        ("/facts", {"since": "1"}),
    ],
)
def test_below_the_floor_is_told(tmp_path: Path, path: str, query: dict[str, str]) -> None:
    """Where facts were removed, no answer is given that would need them; above it all are."""
    with Store.open(tmp_path / "s", types=MANIFEST.types, origin=Origin("d/x", 1), clock=ManualClock(NOON)) as store:
        store.commit([repo("a", 1)])
        store.commit([repo("a", 2), repo("b", 1)])
        store.prune([store.facts(0, limit=1)[0].id], actor="owner")
        if "since" in query:
            query = {"since": f"{store.epoch()}.{query['since']}"}

        assert 2 == store.floor()
        assert [2] == [record["value"]["stars"] for record in ask(store, "/records/repo", as_of="2")["records"]]
        assert ["b"] == [one["key"] for one in ask(store, "/changes", **{"from": "2", "type": "repo"})["changes"]]
        with pytest.raises(CursorTooOld) as caught:
            ask(store, path, **query)
        assert 2 == caught.value.floor


def test_what_a_program_writes_under_a_type_of_its_own_is_read(tmp_path: Path) -> None:
    """A type that no manifest declares has its list, its records and their histories, whatever its name."""
    with Store.open(tmp_path / "s", types=MANIFEST.types, origin=Origin("d/x", 1), clock=ManualClock()) as store:
        store.append([Entry(type=name, key="k", value={"n": 1, "on": True}) for name in ("mine", "my/own type?")])
        types = ask(store, "/types")["types"]
        for name in ("mine", "my/own type?"):
            path = types[name]["href"].removeprefix("/Me/git")
            [found] = ask(store, path)["records"]
            assert found == ask(store, found["href"].removeprefix("/Me/git"))
            assert {"n": 1, "on": True} == found["value"]
            assert [] == ask(store, path, filter="n > 1")["records"]
            assert [{"n": 1}] == [one["value"] for one in ask(store, path, filter="n == 1", fields="n")["records"]]
            [fact] = ask(store, found["href"].removeprefix("/Me/git") + "/history")["facts"]
            assert found["href"] == fact["href"]
        changed = ask(store, "/changes", **{"from": "0", "to": "2", "type": "my/own type?"})["changes"]
        assert [types["my/own type?"]["href"] + "/k"] == [one["href"] for one in changed]
        with pytest.raises(NotFound):
            ask(store, "/records/yours")


def test_of_a_version_whose_elder_is_gone_no_difference_is_told(tmp_path: Path) -> None:
    """What retention let go cannot be compared with any more: the oldest that is kept is not told as all new."""
    with Store.open(tmp_path / "s", types=MANIFEST.types, origin=Origin("d/x", 1), clock=ManualClock()) as store:
        for stars in range(3):
            store.commit([repo("a", stars)])
        store.set_policy("repo", Policy(kind="ephemeral"), actor="owner")
        store.compact(actor="owner")

        [fact] = ask(store, "/records/repo/a/history", diff="true")["facts"]
        assert fact["causation"] is not None
        assert fact["diff"] is None

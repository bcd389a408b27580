"""What a store lets go, over HTTP: policies, compaction, and erasing for good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest, LockerError, MethodNotAllowed, NotFound, TooBusy
from core.model.fact import Change
from core.records import DataApi, Request
from core.records.retaining import IDS_MAX
from core.store import Origin, Reader, Store
from tests.records.test_upkeep import MANIFEST, ask


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with three versions of one record."""
    with Store.open(tmp_path / "git", types={}, origin=Origin("d/x", 1), clock=ManualClock()) as store:
        for number in range(3):
            store.commit([Change(type="repo", key="a", value={"n": number})])
        yield store


def test_policies_are_kept_as_they_were_put(store: Store) -> None:
    """All of them at once: a type that is left out keeps everything again."""
    first = {"repo": {"kind": "ephemeral"}, "issue": {"kind": "rolling_window", "duration_s": 60.0}}
    put = ask(store, "PUT", "/retention", body={"policies": first})
    then = ask(store, "PUT", "/retention", body={"policies": {"repo": {"kind": "ephemeral"}}})

    assert {"policies": first} == put
    assert {"policies": {"repo": {"kind": "ephemeral"}}} == then == ask(store, "GET", "/retention")


def test_one_bad_policy_changes_none(store: Store) -> None:
    """All are looked at before any is set."""
    bad = {"issue": {"kind": "ephemeral"}, "repo": {"kind": "rolling_window"}}
    with pytest.raises(BadRequest):
        ask(store, "PUT", "/retention", body={"policies": bad})

    assert {"policies": {}} == ask(store, "GET", "/retention")


def test_compaction_leaves_receipts(store: Store) -> None:
    """What was superseded goes; the receipt names who asked."""
    ask(store, "PUT", "/retention", body={"policies": {"repo": {"kind": "ephemeral"}}})
    [receipt] = ask(store, "POST", "/retention/compact")["receipts"]

    assert ("compact", "owner", 2) == (receipt["verb"], receipt["actor"], receipt["count"])
    assert [] == ask(store, "POST", "/retention/compact")["receipts"]


def test_a_record_is_erased_with_all_its_versions(store: Store) -> None:
    """By its type and key, or fact by fact."""
    [newest, *_] = store.history("repo", "a", limit=3).facts
    one = ask(store, "POST", "/retention/erase", body={"ids": [newest.id], "drop_hash": True})
    all_of_it = ask(store, "POST", "/retention/erase", body={"type": "repo", "key": "a"})

    assert (1, 3) == (one["count"], all_of_it["count"])
    assert store.record("repo", "a") is None


@pytest.mark.parametrize(
    "body",
    [{}, {"type": "repo"}, {"key": "a"}, {"type": "repo", "key": "a", "ids": ["x"]}, {"ids": ["x"] * (IDS_MAX + 1)},
     {"ids": 3}, {"typ": "repo"}],
)  # fmt: skip
def test_what_to_erase_is_said_in_one_way(store: Store, body: dict[str, Any]) -> None:
    """A record, or facts by their ids: nothing else, and not both."""
    with pytest.raises(BadRequest):
        ask(store, "POST", "/retention/erase", body=body)

    assert 3 == store.head()


@pytest.mark.parametrize(
    ("method", "path", "body", "error"),
    [
        ("POST", "/retention", None, MethodNotAllowed),
        ("POST", "/retention/forget", None, NotFound),
        ("GET", "/retention/compact", None, NotFound),
        ("POST", "/retention/erase", {"type": "repo", "key": "none"}, NotFound),
        ("POST", "/retention/erase", {"type": "__locker_erasures", "key": "1"}, NotFound),
    ],
)
def test_what_is_not_there(store: Store, method: str, path: str, body: Any, error: type[LockerError]) -> None:
    """Each with the error that says so."""
    with pytest.raises(error):
        ask(store, method, path, body=body)


def test_a_writer_that_is_being_opened_is_waited_for(store: Store) -> None:
    """A child that was woken for it reads at once, and writes as soon as it can."""
    with Reader.open(store.path.parent, types={}) as reader:
        api = DataApi(lambda: reader, manifest=MANIFEST, base="/Me/git/", writes=lambda: store)
        route = next(route for route in api.routes if route.name == "retention")
        body = b'{"type": "repo", "key": "a"}'
        request = Request(method="POST", path=("retention", "erase"), query={}, headers={}, body=body)
        answer = route.handler(request)

    assert not hasattr(answer, "__await__") and 200 == answer.status
    assert store.record("repo", "a") is None


def test_only_the_writer_lets_go(store: Store) -> None:
    """While the store is being opened policies can be read, not set."""
    with Reader.open(store.path.parent, types={}) as reader:
        assert {"policies": {}} == ask(reader, "GET", "/retention")
        with pytest.raises(TooBusy):
            ask(reader, "PUT", "/retention", body={"policies": {}})

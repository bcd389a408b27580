"""What is set aside and what files there are, over HTTP: seen, tried again, dropped, collected."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest, LockerError, MethodNotAllowed, NotFound, TooBusy
from core.model.fact import Change
from core.model.manifest import Manifest, TypeSpec
from core.records import DataApi, Request
from core.store import Origin, Reader, Store

MANIFEST = Manifest(name="git", title="Git", folder="/git", types={"repo": TypeSpec(name="repo")})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store that refused a record."""
    with Store.open(tmp_path / "git", types={}, origin=Origin("d/x", 1), clock=ManualClock()) as store:
        store.commit([Change(type="repo", key="a", value={"id": "a"}, order_key=2**70)])
        yield store


def ask(store: Store | Reader, method: str, path: str, *, body: Any = None, **query: str) -> Any:
    """The answer, as JSON, or its bytes where it is a file."""
    segments = tuple(path.strip("/").split("/"))
    request = Request(
        method=method,
        path=segments,
        query=query,
        headers={"x-locker-actor": "owner"},
        body=b"" if body is None else msgspec.json.encode(body),
    )
    api = DataApi(lambda: store, manifest=MANIFEST, base="/Me/git/")
    route = next(route for route in api.routes if route.name == segments[0])
    route.check(request)
    answer = route.handler(request)
    assert not hasattr(answer, "__await__")
    if isinstance(answer.body, bytes):
        return msgspec.json.decode(answer.body)
    return b"".join(answer.body)  # type: ignore[arg-type]


def test_quarantine_is_listed_with_what_can_be_done(store: Store) -> None:
    """Each with its position, its reason, and whether it is kept whole."""
    [one] = ask(store, "GET", "/quarantine")["quarantine"]

    assert ("repo", "a", "bad_record", 1, True) == (
        one["type"],
        one["key"],
        one["code"],
        one["times"],
        one["can_retry"],
    )
    assert "order key" in one["reason"]


def test_retry_answers_with_its_counts(store: Store) -> None:
    """All of them, or those of the named types."""
    counted = {
        "new": 0, "updated": 0, "same": 0, "deleted": 0, "refused": 1, "kept": 0, "superseded": 0, "next": None
    }  # fmt: skip

    assert counted == ask(store, "POST", "/quarantine/retry")
    assert {**counted, "refused": 0} == ask(store, "POST", "/quarantine/retry", body={"types": ["mail"], "limit": 5})
    assert 2 == ask(store, "GET", "/quarantine")["quarantine"][0]["times"]


def test_dropped_record_is_gone_with_a_receipt(store: Store) -> None:
    """The answer says what it was, the receipt who dropped it."""
    [one] = ask(store, "GET", "/quarantine")["quarantine"]

    assert one == ask(store, "DELETE", f"/quarantine/{one['position']}")

    assert {"quarantine": []} == ask(store, "GET", "/quarantine")
    assert [("drop", "owner")] == [(receipt.verb, receipt.actor) for receipt in store.receipts(10)]


def test_files_are_counted_read_and_collected(store: Store) -> None:
    """`/files` says how much there is and may be; what nothing names goes when it is asked."""
    digest = store.files.put_file(io.BytesIO(b"old"))
    os.utime(store.path.parent / "files" / digest[:2] / digest[2:], (1, 1))
    assert {"files": 1, "bytes": 3, "bytes_max": store.files.bytes_max} == ask(store, "GET", "/files")
    assert b"old" == ask(store, "GET", f"/files/{digest}")
    with Reader.open(store.path.parent, types={}) as reader:
        assert 3 == ask(reader, "GET", "/files")["bytes"]

    assert {"files": 1, "bytes": 3} == ask(store, "POST", "/files/collect")

    assert {"files": 0, "bytes": 0, "bytes_max": store.files.bytes_max} == ask(store, "GET", "/files")


@pytest.mark.parametrize(
    ("method", "path", "body", "error"),
    [
        ("GET", "/quarantine/1", None, NotFound),
        ("DELETE", "/quarantine/99", None, NotFound),
        ("DELETE", "/quarantine/x", None, NotFound),
        ("DELETE", "/quarantine", None, NotFound),
        ("POST", "/quarantine/again", None, MethodNotAllowed),
        ("POST", "/quarantine/retry", {"limit": 0}, BadRequest),
        ("POST", "/quarantine/retry", {"limit": 501}, BadRequest),
        ("POST", "/quarantine/retry", {"types": "repo"}, BadRequest),
        ("POST", "/quarantine/retry", {"all": True}, BadRequest),
        ("POST", "/quarantine/retry", {"after": 10**20}, BadRequest),
        ("POST", "/quarantine/retry", {"after": -1}, BadRequest),
        ("PUT", "/quarantine/retry", None, MethodNotAllowed),
        ("POST", "/files", None, MethodNotAllowed),
        ("POST", "/files/" + "a" * 64, None, MethodNotAllowed),
        ("DELETE", "/files/" + "a" * 64, None, MethodNotAllowed),
    ],
)
def test_what_makes_no_sense_is_refused(
    store: Store, method: str, path: str, body: Any, error: type[LockerError]
) -> None:
    """The caller's fault is told as such, and nothing is done."""
    with pytest.raises(error):
        ask(store, method, path, body=body)

    assert 1 == len(store.quarantined(10))


@pytest.mark.parametrize(("method", "path"), [("POST", "/quarantine/retry"), ("POST", "/files/collect")])
def test_who_only_reads_changes_nothing(store: Store, method: str, path: str) -> None:
    """While the writer is being opened, changes wait for it."""
    with Reader.open(store.path.parent, types={}) as reader, pytest.raises(TooBusy):
        ask(reader, method, path)

"""The data routes: pages, single records, histories, the change feed, files, and what they refuse."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.sdk.testing import Child, FakeCore
from core.model.ids import key_to_path
from tests.sdk.conftest import CONNECTORS


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """A service that holds 250 numbers, the same for all that only read it."""
    with FakeCore(tmp_path_factory.mktemp("api")) as core:
        child = core.start(CONNECTORS / "counter", settings={"count": 250, "page": 50})
        child.sync()
        yield child


def test_types_tell_how_records_are_read(child: Child) -> None:
    """Key, title, network, count and where the records are."""
    number = child.get("/types").json()["types"]["number"]

    assert ("n", "name", "counter", 250) == tuple(number[n] for n in ("key", "title", "network", "count"))
    assert "/Me/counter/records/number" == number["href"]


def test_a_page_has_records_and_the_next(child: Child) -> None:
    """Each record with key, value, common, at, seq and href; a hundred unless asked otherwise."""
    page = child.get("/records/number").json()

    assert 100 == len(page["records"])
    assert {"key", "value", "common", "at", "seq", "href"} == set(page["records"][0])
    assert page["next"] is not None


@pytest.mark.parametrize("order", ["key", "newest"])
def test_pages_cover_everything_once(child: Child, order: str) -> None:
    """Keyset paging: every record comes, none twice, in either order."""
    found: list[str] = []
    query: dict[str, str] = {"limit": "70", "order": order}
    while True:
        page = child.get("/records/number", params=query).json()
        found += [record["key"] for record in page["records"]]
        if page["next"] is None:
            break
        query["after"] = page["next"]

    assert 250 == len(found) == len(set(found))


def test_page_while_writing(core: FakeCore, connectors: Path) -> None:
    """A page begun before a write continues without gap or repeat."""
    child = core.start(connectors / "counter", settings={"count": 10})
    child.sync()
    first = child.get("/records/number?limit=5").json()
    child.stop()
    child = core.start(connectors / "counter", settings={"count": 12})
    child.sync()
    rest = child.get("/records/number", params={"limit": "50", "after": first["next"]}).json()
    keys = [record["key"] for record in first["records"] + rest["records"]]

    assert sorted(keys) == keys
    assert len(set(keys)) == len(keys) >= 10


def test_a_record_is_found_by_its_href(child: Child) -> None:
    """Nobody needs to build an address."""
    record = child.get("/records/number?limit=1").json()["records"][0]

    assert record == child.get(record["href"].removeprefix("/Me/counter")).json()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/records", 404, "not_found"),
        ("/records/nothing", 404, "not_found"),
        ("/records/number/nothing", 404, "not_found"),
        ("/records/number/nothing/history", 404, "not_found"),
        ("/records/number/1/other", 404, "not_found"),
        ("/records/number/1/history/more", 404, "not_found"),
        ("/records/number/~%2A%2A", 400, "bad_request"),
        ("/records/number/a%20b", 400, "bad_request"),
        ("/records/number?limit=0", 400, "bad_request"),
        ("/records/number?limit=1001", 400, "bad_request"),
        ("/records/number?limit=-1", 400, "bad_request"),
        ("/records/number?limit=ten", 400, "bad_request"),
        ("/records/number?limit=%D9%A1", 400, "bad_request"),
        ("/records/number?order=random", 400, "bad_request"),
        ("/records/number?after=xx", 400, "bad_request"),
        ("/records/number?after=", 400, "bad_request"),
        ("/records/number?filter=n%20=%201", 400, "bad_request"),
        ("/records/number?where=n", 400, "bad_request"),
        ("/records/number?as_of=yesterday", 400, "bad_request"),
        ("/records/number?as_of=9999999", 410, "cursor_unknown"),
        ("/changes?from=0&since=1", 400, "bad_request"),
        ("/records/number/1?limit=1", 400, "bad_request"),
        ("/records/number?limit=1&limit=2", 400, "bad_request"),
        ("/records/number?limit=%FF", 400, "bad_request"),
        ("/types?x=1", 400, "bad_request"),
        ("/facts?since=xx", 400, "bad_request"),
        ("/facts?since=00.1", 410, "cursor_unknown"),
        ("/files/abc", 404, "not_found"),
        ("/files/" + "0" * 64, 404, "not_found"),
        ("/files/../store.db", 404, "not_found"),
        ("/files/..%2Fstore.db", 404, "not_found"),
        ("/nothing", 404, "not_found"),
        ("/status/more", 404, "not_found"),
        ("/status?x=1", 400, "bad_request"),
    ],
)
def test_what_is_wrong_is_said(child: Child, path: str, status: int, code: str) -> None:
    """unknown_type_is_404, and every other mistake has its own answer with a reason and a cure."""
    answer = child.get(path)

    assert (status, code) == (answer.status_code, answer.json()["type"])
    assert answer.json()["remedy"]


@pytest.mark.parametrize("path", ["/", "/types", "/records/number", "/facts", "/files/x", "/status"])
def test_data_is_only_read(child: Child, path: str) -> None:
    """405 with Allow for whatever would change it."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = child.ask(method, path)

        assert (405, "GET, HEAD") == (answer.status_code, answer.headers["Allow"])


def test_a_filter_is_not_yet_a_parameter(child: Child) -> None:
    """The answer names the parameter and those there are."""
    assert "'where' is not a parameter of this route" in child.get("/records/number?where=n").json()["detail"]


def test_head_answers_without_a_body(child: Child) -> None:
    """HEAD is GET without the body, on plain and streamed routes."""
    for path in ("/records/number", "/facts", "/types"):
        answer = child.ask("HEAD", path)

        assert (200, b"") == (answer.status_code, answer.content)


@pytest.mark.parametrize("path", ["/types", "/records/number", "/records/number/7", "/records/number/7/history"])
def test_an_unchanged_answer_is_304(child: Child, path: str) -> None:
    """If-None-Match with the ETag costs no body; after a change of the record or the type the tag is another."""
    tag = child.get(path).headers["ETag"]
    known = child.get(path, headers={"If-None-Match": f'"other", {tag}'})
    star = child.get(path, headers={"If-None-Match": "*"})
    weak = child.get(path, headers={"If-None-Match": f"W/{tag}"})

    assert (304, b"", tag) == (known.status_code, known.content, known.headers["ETag"])
    assert (304, 304) == (star.status_code, weak.status_code)
    assert 200 == child.get(path, headers={"If-None-Match": '"other"'}).status_code


def test_a_commit_changes_the_tag(core: FakeCore, connectors: Path) -> None:
    """A reader that asks again after a sync gets the new page."""
    child = core.start(
        connectors / "puppet", settings={"script": {"first": [[["row", {"id": 1}]], [["row", {"id": 2}]]]}}
    )
    child.sync("first")
    tag = child.get("/records/thing").headers["ETag"]
    child.sync("first")

    assert 200 == child.get("/records/thing", headers={"If-None-Match": tag}).status_code


def test_the_change_feed_goes_on_where_it_was(child: Child) -> None:
    """JSON lines, each with the cursor to go on from; a cursor at the end gives nothing."""
    facts = child.facts()
    later = child.facts(facts[99]["cursor"])

    assert list(range(1, 251)) == [fact["seq"] for fact in facts]
    assert facts[100:] == later
    assert [] == child.facts(facts[-1]["cursor"])
    assert {"number"} == {fact["type"] for fact in facts}


def test_the_change_feed_can_be_taken_in_pieces(child: Child) -> None:
    """`limit` bounds one answer."""
    lines = child.get("/facts?limit=7").content.splitlines()

    assert 7 == len(lines)


def test_a_cursor_beyond_the_end_is_unknown(child: Child) -> None:
    """A restored store is shorter than what a reader has seen: it is told, instead of waiting for ever."""
    cursor = child.facts()[-1]["cursor"]
    epoch = cursor.rpartition(".")[0]

    assert 410 == child.get(f"/facts?since={epoch}.251").status_code


def test_keys_of_any_kind_stand_in_a_path(core: FakeCore, connectors: Path) -> None:
    """A key may be an address, hold blanks, slashes, percent signs and any letter."""
    keys = ["http://a.b/c?d=e#f", "a b", "50%", "über/straße", ".", "..", "~x", "a" * 300, "名前"]
    rows = [["row", {"id": key}] for key in keys]
    child = core.start(connectors / "puppet", settings={"script": {"first": [rows]}})
    child.sync("first")

    assert set(keys) == set(child.records("thing"))
    for key in keys:
        assert key == child.get(f"/records/thing/{key_to_path(key)}").json()["key"]


@pytest.fixture
def filed(core: FakeCore, connectors: Path) -> tuple[Child, str, bytes]:
    """A service with one picture of 600 kB in its files."""
    content = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2400
    child = core.start(connectors / "puppet")
    digest = hashlib.sha256(content).hexdigest()
    shelf = child.folder / "files" / digest[:2]
    shelf.mkdir(parents=True)
    (shelf / digest[2:]).write_bytes(io.BytesIO(content).read())
    return child, digest, content


def test_a_file_is_served_whole(filed: tuple[Child, str, bytes]) -> None:
    """With its type by its first bytes, its length, and a tag that is its digest."""
    child, digest, content = filed
    answer = child.get(f"/files/{digest}")

    assert (200, content) == (answer.status_code, answer.content)
    assert ("image/png", "inline", "nosniff", f'"{digest}"', str(len(content))) == tuple(
        answer.headers[name]
        for name in ("Content-Type", "Content-Disposition", "X-Content-Type-Options", "ETag", "Content-Length")
    )
    assert 304 == child.get(f"/files/{digest}", headers={"If-None-Match": f'"{digest}"'}).status_code


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=10-19", 10, 19), ("bytes=614000-", 614000, None), ("bytes=-5", -5, None)],
)
def test_a_range_of_a_file(filed: tuple[Child, str, bytes], asked: str, first: int, last: int | None) -> None:
    """A player seeks in it without fetching all of it."""
    child, digest, content = filed
    answer = child.get(f"/files/{digest}", headers={"Range": asked})
    wanted = content[first:] if last is None else content[first : last + 1]

    assert (206, wanted) == (answer.status_code, answer.content)
    start = len(content) + first if first < 0 else first
    assert f"bytes {start}-{start + len(wanted) - 1}/{len(content)}" == answer.headers["Content-Range"]


@pytest.mark.parametrize("asked", ["bytes=0-10,20-30", "lines=1-2", "bytes=x-y", "bytes=9-3", "bytes=-"])
def test_a_range_that_need_not_be_served_gives_the_whole(filed: tuple[Child, str, bytes], asked: str) -> None:
    """Several ranges, other units and nonsense are answered as if they were not there."""
    child, digest, _ = filed
    answer = child.get(f"/files/{digest}", headers={"Range": asked})

    assert answer.status_code == (416 if asked == "bytes=-" else 200)


def test_a_range_beyond_the_end_is_416(filed: tuple[Child, str, bytes]) -> None:
    """The answer tells the size."""
    child, digest, content = filed
    answer = child.get(f"/files/{digest}", headers={"Range": f"bytes={len(content)}-"})

    assert (416, f"bytes */{len(content)}") == (answer.status_code, answer.headers["Content-Range"])


def test_a_page_of_html_is_never_shown_in_place(core: FakeCore, connectors: Path) -> None:
    """What is not a picture, sound, film or PDF is downloaded, whatever it claims to be."""
    child = core.start(connectors / "puppet")
    content = b"<svg onload=alert(1)>"
    digest = hashlib.sha256(content).hexdigest()
    shelf = child.folder / "files" / digest[:2]
    shelf.mkdir(parents=True)
    (shelf / digest[2:]).write_bytes(content)
    answer = child.get(f"/files/{digest}")

    assert ("application/octet-stream", "attachment") == (
        answer.headers["Content-Type"],
        answer.headers["Content-Disposition"],
    )


def test_root_says_what_the_service_is(child: Child) -> None:
    """Connector, title, counts, status, and where the rest is."""
    root = child.get("/").json()

    assert ("counter", "Counter", {"number": 250}, "ok") == (
        root["connector"],
        root["title"],
        root["counts"],
        root["status"],
    )
    assert "/Me/counter/status" == root["links"]["status"]

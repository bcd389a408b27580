"""Servers and documents that mean harm: each is told, none stops the service or the other feeds."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import apsw
import pytest

from connectors.feeds.reading import Document, Reading, WebPage
from connectors.sdk.testing import Child, FakeCore
from core.model.errors import Broken
from core.store import Reader
from tests.feeds.site import Reply, Site, item, rss

Serve = Callable[[socket.socket], None]
MB = 1024 * 1024


@pytest.fixture
def raw() -> Iterator[Callable[[Serve], str]]:
    """Makes servers that do with a connection what the test says; the address of each."""
    listeners: list[socket.socket] = []

    def make(serve: Serve) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection: socket.socket) -> None:
            with connection:
                try:
                    connection.recv(65536)
                    serve(connection)
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/feed"

    yield make
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _send(*parts: bytes) -> Serve:
    return lambda connection: [connection.sendall(part) for part in parts] and None


def _for_ever(head: bytes, chunk: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(chunk)

    return serve


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"
SERVERS: dict[str, Serve] = {
    "wrong_length": _send(HEAD + b"Content-Length: 100000\r\n\r\n" + rss(item("1", "one"))),
    "endless_body": _for_ever(HEAD + b"\r\n", b"<x>" * 20000),
    "endless_head": _for_ever(HEAD, b"X-More: of this\r\n"),
    "gzip_bomb": _send(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"\0" * 100 * MB, 9)),
    "broken_gzip": _send(HEAD + b"Content-Encoding: gzip\r\n\r\nnot gzip at all"),
    "no_http": _send(b"220 mail.example.test ESMTP\r\n"),
    "closes": _send(b""),
    "bad_status": _send(b"HTTP/1.1 -200 MAYBE\r\n\r\n"),
    "bad_header": _send(HEAD + b"\x00\xff no colon here\r\n\r\n" + b"<rss"),
    "bad_chunks": _send(HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\nx"),
    "bad_redirect": _send(b"HTTP/1.1 301 Moved\r\nLocation: http://[::1\r\n\r\n"),
    "file_redirect": _send(b"HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\n\r\n"),
    "empty_redirect": _send(b"HTTP/1.1 301 Moved\r\nLocation: \r\nContent-Length: 0\r\n\r\n"),
}


def test_hostile_servers_spare_the_good_one(
    raw: Callable[[Serve], str], site: Site, follow: Callable[..., Child]
) -> None:
    """Thirteen ways to misbehave beside one good feed: each is a failing feed with its reason."""
    site.pages["/good"] = Reply(rss(*(item(str(n), f"entry {n}") for n in range(50))))
    urls = {name: raw(serve) for name, serve in SERVERS.items()}
    child = follow(*urls.values(), site.url("/good"))
    started = time.monotonic()
    run = child.sync()[0]
    took_s = time.monotonic() - started
    feeds = {r["value"]["url"]: r["value"] for r in child.records("feed").values()}
    status = {name: feeds[url]["status"] for name, url in urls.items()}

    assert took_s < 40
    assert ("partial", 50) == (run["status"], len(child.records("entry")))
    assert "ok" == feeds[site.url("/good")]["status"]
    # What a server says wrongly of itself may still hold a feed that can be read; nothing worse than that.
    assert {"failing"} == {state for name, state in status.items() if name not in ("bad_header", "empty_redirect")}
    assert 200 == child.get("/").status_code


def test_redirects_that_lead_nowhere_good(site: Site, follow: Callable[..., Child]) -> None:
    """Circles end; a redirect into the owner's network is refused, and nothing arrives there."""
    inside = Site()
    try:
        inside.pages["/admin"] = Reply(rss(item("1", "stolen")))
        site.pages["/circle"] = Reply(status=302, headers={"Location": "/circle"})
        site.pages["/inside"] = Reply(status=301, headers={"Location": inside.url("/admin")})
        site.pages["/metadata"] = Reply(status=302, headers={"Location": "http://169.254.169.254/latest"})
        child = follow(*map(site.url, ("/circle", "/inside", "/metadata")))
        child.sync()
        feeds = {r["value"]["url"].rpartition("/")[2]: r["value"] for r in child.records("feed").values()}
    finally:
        inside.close()

    assert [] == inside.asked
    assert "circles" in feeds["circle"]["problem"]["detail"]
    assert "this machine" in feeds["inside"]["problem"]["detail"]
    assert "user_action_needed" == feeds["metadata"]["problem"]["type"]
    assert {} == child.records("entry")


def test_private_addresses_of_a_list_are_refused(site: Site, follow: Callable[..., Child]) -> None:
    """What a file says is not what the owner typed: it leads to no machine of the house."""
    site.pages["/feed"] = Reply(rss(item("1", "one")))
    child = follow()
    child.post("/opml", data=f'<opml><body><outline xmlUrl="{site.url("/feed")}"/></body></opml>'.encode())
    child.sync()
    (feed,) = child.records("feed").values()

    assert [] == site.asked
    assert ("failing", "Type the address in the service's settings if you mean it.") == (
        feed["value"]["status"],
        feed["value"]["problem"]["remedy"],
    )


def test_a_drip_ends_with_its_deadline(raw: Callable[[Serve], str], site: Site, follow: Callable[..., Child]) -> None:
    """One byte now and then does not hold the run, nor the stop of the process."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.1)

    site.pages["/good"] = Reply(rss(item("1", "one")))
    child = follow(raw(drip), site.url("/good"))
    child.post("/sync")
    until = time.monotonic() + 10
    while not child.records("entry") and time.monotonic() < until:
        time.sleep(0.05)
    started = time.monotonic()

    assert 1 == len(child.records("entry"))
    assert 0 == child.stop()
    assert time.monotonic() - started < 3


LAUGHS = b"".join(
    b'<!ENTITY l%d "%s">' % (n, (b"&l%d;" % (n - 1) if n else b"ha") * 10) for n in range(10)
)  # fmt: skip
DOCUMENTS: dict[str, bytes] = {
    "billion_laughs": b"<!DOCTYPE x [" + LAUGHS + b"]>" + rss("<item><title>&l9;</title></item>"),
    "quadratic_entity": b'<!DOCTYPE x [<!ENTITY a "' + b"x" * 50000 + b'">]>' + rss(f"<item>{'&a;' * 5000}</item>"),
    "outer_entity": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + rss("<item><title>&a;</title></item>"),
    "deep": b"<rss version='2.0'><channel>" + b"<a>" * 20000,
    "open_tags": b"<rss version='2.0'><channel><title>" + b"<" * 200_000,
    "deep_markup": rss(item("1", "one", description="<div>" * 20000)),
    "unclosed_bold": rss(item("1", "one", description="<b>" * 20000)),
    "null_bytes": rss(item("1", "a\0b")),
    "control_letters": rss(item("1", "a\x01\x0bb")),
    "half_surrogates": b'{"version": "https://jsonfeed.org/version/1", "items": [{"id": "1", "title": "a\\ud800b"}]}',
    "deep_json": b'{"version": "https://jsonfeed.org/version/1", "items": ' + b"[" * 5000,
    "deep_item": b'{"version": "https://jsonfeed.org/version/1", "items": [{"id": "1", "x": '
    + b"[" * 200
    + b"]" * 200
    + b"}]}",
    "big_number": b'{"version": "https://jsonfeed.org/version/1", "items": [{"id": "1", "n": ' + b"9" * 400 + b"}]}",
    "not_a_number": b'{"version": "https://jsonfeed.org/version/1", "items": [{"id": "1", "n": 1e999}]}',
    "huge_entry": rss(item("1", "one", description="x" * (5 * MB))),
    "claims_utf16": rss(item("1", "one")).replace(b"utf-8", b"utf-16"),
    "claims_martian": rss(item("1", "one")).replace(b"utf-8", b"x-martian"),
    "random_bytes": bytes((n * 7919 + n // 3) % 256 for n in range(100_000)),
    "bom_only": b"\xef\xbb\xbf",
}


def test_hostile_documents_spare_the_good_one(site: Site, follow: Callable[..., Child]) -> None:
    """Bombs, depths and garbage: what can be read is kept, what cannot is told, nothing of this machine comes in."""
    site.pages.update({f"/{name}": Reply(body) for name, body in DOCUMENTS.items()})
    site.pages["/good"] = Reply(rss(item("good", "good")))
    child = follow(*(site.url(f"/{name}") for name in [*DOCUMENTS, "good"]))
    started = time.monotonic()
    run = child.sync()[0]
    took_s = time.monotonic() - started
    feeds = {r["value"]["url"].rpartition("/")[2]: r["value"] for r in child.records("feed").values()}
    titles = [record["common"].get("title", "") for record in child.records("entry").values()]

    assert took_s < 40
    assert run["status"] == "partial"
    assert {*DOCUMENTS, "good"} == set(feeds)
    assert "ok" == feeds["good"]["status"]
    assert "good" in titles
    assert max(map(len, titles)) <= 500
    assert "root:" not in child.get("/facts").text
    assert 200 == child.get("/").status_code


def test_a_record_that_cannot_be_stored_is_set_aside(site: Site, follow: Callable[..., Child]) -> None:
    """Too large for a record: its neighbours are kept, and it is counted."""
    site.pages["/feed"] = Reply(rss(item("1", "big", description="x" * (5 * MB)), item("2", "small")))
    child = follow(site.url("/feed"))
    run = child.sync()[0]

    assert ("partial", 1) == (run["status"], run["quarantined"])
    assert ["small"] == [record["common"]["title"] for record in child.records("entry").values()]


@pytest.mark.parametrize(
    "body",
    [
        b"<rss version='2.0'><channel><item "
        + b" ".join(b'a%d="1"' % n for n in range(60_000))
        + b"><title>x</title></item></channel></rss>",
        rss("<item><author>" + "a" * 200_000 + "</author></item>"),
    ],
    ids=["attributes", "author"],
)
def test_a_document_that_takes_for_ever_is_given_up(body: bytes) -> None:
    """Its reading ends with the reader's process; the next feed is read by a new one."""
    started = time.monotonic()
    with Reading(read_s=1.0) as reading:
        with pytest.raises(Broken, match="within 1 s"):
            reading.document(body, content_type="", url="http://example.test/")
        good: Any = reading.document(rss(item("1", "one")), content_type="", url="http://example.test/")

    assert 1 == len(good.entries)
    assert time.monotonic() - started < 10


def test_a_reader_that_dies_is_replaced() -> None:
    """Whatever ended it."""
    with Reading() as reading:
        reading.document(rss(), content_type="", url="http://example.test/")
        assert reading._process is not None
        reading._process.kill()
        reading._process.wait()
        document = reading.document(rss(item("1", "one")), content_type="", url="http://example.test/")

    assert isinstance(document, Document)
    assert 1 == len(document.entries)


def test_what_is_no_feed_is_told() -> None:
    """A page is a page, without the feeds it does not name."""
    with Reading() as reading:
        found = reading.document(b"<html><body>hello</body></html>", content_type="text/html", url="http://e.test/")

    assert WebPage(alternates=()) == found


def test_no_reader_is_left_behind(site: Site, follow: Callable[..., Child]) -> None:
    """It lives for a run: afterwards, and after a kill of the child, its process is gone."""
    psutil = pytest.importorskip("psutil")
    site.pages["/feed"] = Reply(rss(item("1", "one")))
    child = follow(site.url("/feed"))
    child.sync()
    process = psutil.Process(child.process.pid)
    assert [] == process.children(recursive=True)

    def slow(_: Any) -> Reply:
        time.sleep(1)
        return Reply(rss(item("2", "two")))

    site.pages["/slow"] = slow
    child.stop()
    child = follow(site.url("/slow"), site.url("/feed") + "?again")
    site.pages["/feed?again"] = Reply(rss(item("3", "three")))
    child.post("/sync")
    process = psutil.Process(child.process.pid)
    until = time.monotonic() + 10
    while not (below := process.children()) and time.monotonic() < until:
        time.sleep(0.01)
    child.kill()
    gone, alive = psutil.wait_procs(below, timeout=5)

    assert ([], True) == (alive, len(gone) >= 1)


JSON_FEED = b'{"version": "https://jsonfeed.org/version/1", "items": [%b]}'
LARGE: dict[str, bytes] = {
    "empty_items": JSON_FEED % (b"{}," * 5_000_000 + b"{}"),
    "half_as_many": JSON_FEED % (b"{}," * 2_000_000 + b"{}"),
    "nested_lists": JSON_FEED % (b'{"id": "1", "x": [' + b"[]," * 5_000_000 + b"[]]}"),
    "fewer_lists": JSON_FEED % (b'{"id": "1", "x": [' + b"[]," * 1_500_000 + b"[]]}"),
    "many_lists": JSON_FEED % b",".join(b'{"id": "%d", "x": [%b0]}' % (n, b"[]," * 900) for n in range(5000)),
    "wide_letters": JSON_FEED % b'{"id": "1", "content_html": "\xf0\x9f\x98\x80%b"}' % (b"x" * 15 * MB),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_documents_leave_the_memory_to_others(site: Site, follow: Callable[..., Child], name: str) -> None:
    """Made to unfold in memory: the service with its reader stays below its limit, and the good feed is in."""
    psutil = pytest.importorskip("psutil")
    site.pages[f"/{name}"] = Reply(LARGE[name])
    site.pages["/good"] = Reply(rss(item("good", "good")))
    child = follow(site.url(f"/{name}"), site.url("/good"))
    process, most, ended = psutil.Process(child.process.pid), 0, threading.Event()

    def watch() -> int:
        found = 0
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                found += each.memory_info().rss
        return found

    def sync() -> None:
        child.sync()
        ended.set()

    thread = threading.Thread(target=sync)
    thread.start()
    while not ended.wait(0.02):
        most = max(most, watch())
    thread.join()

    assert most < 450 * MB
    assert "good" in [record["common"].get("title") for record in child.records("entry").values()]
    assert 2 == len(child.records("feed"))


def test_entries_too_large_for_a_record_are_set_aside(site: Site, follow: Callable[..., Child]) -> None:
    """Counted and told; their neighbours are kept."""
    lists = b'{"id": "many", "x": [%b0]}' % (b"0," * 20_000)
    site.pages["/feed"] = Reply(JSON_FEED % (lists + b',{"id": "small", "title": "small"}'))
    child = follow(site.url("/feed"))
    run = child.sync()[0]

    small = JSON_FEED % b'{"id": "many", "title": "not so many any more"}'
    with Reader.open(child.folder, types={}) as reader:
        (aside,) = reader.quarantined(10)
        site.pages["/feed"] = Reply(small)
        child.sync()
        left = reader.quarantined(10)

    assert ("partial", 1) == (run["status"], run["quarantined"])
    assert ("entry", "the entry has more than 20000 values") == (aside.type, aside.reason)
    assert ([], True) == (left, aside.key in child.records("entry"))


def test_a_feed_that_ended_the_process_waits(site: Site, follow: Callable[..., Child], core: FakeCore) -> None:
    """It is not asked first thing after the restart, nor at the next run; the others are, and the owner is told."""
    # Attributes without number keep the reader busy for many seconds.
    attributes = b" ".join(b'a%d="1"' % n for n in range(60_000))
    slow = b"<rss version='2.0'><channel><item " + attributes + b"><title>x</title></item></channel></rss>"
    site.pages["/slow"] = Reply(slow)
    site.pages["/good"] = Reply(rss(item("good", "good")))
    child = follow(site.url("/slow"), site.url("/good"))
    child.post("/sync")
    core.wait_for(lambda: _is_reading(child))
    child.kill()
    child = follow(site.url("/slow"), site.url("/good"))
    asked = site.count("/slow")
    run = child.sync()[0]
    child.sync()
    feeds = {r["value"]["url"].rpartition("/")[2]: r["value"] for r in child.records("feed").values()}

    assert (1, asked) == (asked, site.count("/slow"))
    assert ("partial", 1) == (run["status"], len(child.records("entry")))
    assert ("failing", "ok") == (feeds["slow"]["status"], feeds["good"]["status"])
    assert "ended while it read this feed" in feeds["slow"]["problem"]["detail"]
    assert any("/slow: Locker ended" in note["message"] for note in core.asked("diary"))


def _is_reading(child: Child) -> bool:
    db = apsw.Connection(str(child.folder / "store.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return any('"reading":true' in str(value) for (value,) in db.execute("SELECT CAST(value AS TEXT) FROM cursor"))
    finally:
        db.close()

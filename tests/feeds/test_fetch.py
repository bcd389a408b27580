"""How feeds are asked: only when due, only when changed, wherever they moved, as long as they exist."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import requests

from connectors.feeds.fetch import BACKOFF_MAX_S, RETRY_AFTER_OWNER_S, State, fetch, put_off
from connectors.sdk import Session
from connectors.sdk.addresses import typed_origins
from connectors.sdk.testing import Child
from tests.feeds.site import Asked, Reply, Site, item, rss

NOW = 1_795_000_000.0


def _feed(child: Child, site: Site, path: str) -> dict[str, Any]:
    feeds = [r["value"] for r in child.records("feed").values() if r["value"]["url"] == site.url(path)]
    assert len(feeds) == 1
    return dict(feeds[0])


def _asked(site: Site, path: str, state: State | None = None) -> Any:
    with Session(typed=typed_origins(site.url("/"))) as session:
        return fetch(session, site.url(path), state or State(), now=NOW)


def test_validators_are_sent_back(site: Site) -> None:
    """ETag and Last-Modified as they came; a 304 changes nothing that is remembered."""
    modified = email.utils.formatdate(NOW, usegmt=True)
    site.pages["/feed"] = Reply(rss(), headers={"ETag": '"one"', "Last-Modified": modified})
    first = _asked(site, "/feed")
    second = _asked(site, "/feed", first.state)

    assert ('"one"', modified) == (first.state.etag, first.state.modified)
    assert (None, None, first.state) == (second.body, second.error, second.state)
    assert modified == site.asked[1].headers["If-Modified-Since"]


def test_the_same_body_is_not_read_again(site: Site) -> None:
    """A server without validators: the body's digest says that nothing changed."""
    site.pages["/feed"] = Reply(rss(item("1", "one")))
    first = _asked(site, "/feed")

    assert first.body is not None
    assert None is _asked(site, "/feed", first.state).body


@pytest.mark.parametrize(("status", "is_kept"), [(301, True), (308, True), (302, False), (303, False), (307, False)])
def test_only_permanent_moves_are_remembered(site: Site, status: int, is_kept: bool) -> None:
    """301 and 308 are asked once and then left out; the others are asked each time."""
    site.pages["/old"] = Reply(status=status, headers={"Location": "/new"})
    site.pages["/new"] = Reply(rss(item("1", "one")))
    first = _asked(site, "/old")
    _asked(site, "/old", first.state)

    assert (site.url("/new") if is_kept else "") == first.state.url
    assert (1 if is_kept else 2) == site.count("/old")


def test_a_chain_is_followed_as_far_as_it_is_permanent(site: Site) -> None:
    """Permanent, then temporary: the place before the temporary hop is the feed's address."""
    site.pages["/a"] = Reply(status=301, headers={"Location": "/b"})
    site.pages["/b"] = Reply(status=308, headers={"Location": "/c"})
    site.pages["/c"] = Reply(status=302, headers={"Location": "/d"})
    site.pages["/d"] = Reply(status=301, headers={"Location": "/e"})
    site.pages["/e"] = Reply(rss())

    assert site.url("/c") == _asked(site, "/a").state.url


def test_a_move_to_what_did_not_change_is_remembered(site: Site, follow: Callable[..., Child]) -> None:
    """The new address answers 304 from the start: it is asked directly from then on, and the record says so."""
    site.pages["/old"] = site.pages["/new"] = Reply(rss(item("1", "one")), headers={"ETag": '"one"'})
    child = follow(site.url("/old"))
    child.sync()
    site.pages["/old"] = Reply(status=301, headers={"Location": "/new"})
    for _ in range(3):
        child.sync()

    assert (2, 3) == (site.count("/old"), site.count("/new"))
    assert site.url("/new") == _feed(child, site, "/old")["moved_to"]


def test_a_move_to_nothing_is_not_believed(site: Site) -> None:
    """A permanent redirect to a page that fails leaves the old address in place."""
    site.pages["/old"] = Reply(status=301, headers={"Location": "/nowhere"})
    found = _asked(site, "/old")

    assert ("not_found", "") == (found.error.code, found.state.url)


def test_a_feed_that_is_gone_is_never_asked_again(site: Site, follow: Callable[..., Child]) -> None:
    """410 is respected; the entries stay."""
    site.pages["/feed"] = Reply(rss(item("1", "one")))
    child = follow(site.url("/feed"))
    child.sync()
    site.pages["/feed"] = Reply(status=410)
    child.sync()
    child.sync()
    child.sync()

    assert 2 == site.count("/feed")
    assert "gone" == _feed(child, site, "/feed")["status"]
    assert 1 == len(child.records("entry"))


def test_a_feed_that_is_followed_again_is_asked_again(site: Site, follow: Callable[..., Child]) -> None:
    """Gone counts until the owner takes it off the list and puts it back."""
    site.pages["/feed"] = Reply(status=410)
    site.pages["/other"] = Reply(rss())
    for urls in (["/feed", "/other"], ["/other"], ["/feed", "/other"]):
        child = follow(*map(site.url, urls))
        child.sync()
        status = {r["value"]["url"]: r["value"]["status"] for r in child.records("feed").values()}
        child.stop()

    assert 2 == site.count("/feed")
    assert "gone" == status[site.url("/feed")]


def test_a_feed_that_is_no_longer_followed_is_left_alone(site: Site, follow: Callable[..., Child]) -> None:
    """Its record says so and its entries stay."""
    site.pages["/feed"] = Reply(rss(item("1", "one")))
    child = follow(site.url("/feed"))
    child.sync()
    child.stop()
    child = follow()
    child.sync()

    assert 1 == site.count("/feed")
    assert "unfollowed" == _feed(child, site, "/feed")["status"]
    assert 1 == len(child.records("entry"))


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limited"), (503, "retry")])
def test_retry_after_is_respected(site: Site, follow: Callable[..., Child], status: int, code: str) -> None:
    """A feed that asks to wait is left alone meanwhile; the others go on."""
    site.pages["/busy"] = Reply(status=status, headers={"Retry-After": "3600"})
    site.pages["/feed"] = Reply(rss(item("1", "one")))
    child = follow(site.url("/busy"), site.url("/feed"))
    child.sync()
    child.sync()

    assert (1, 2) == (site.count("/busy"), site.count("/feed"))
    assert ("failing", code) == (
        _feed(child, site, "/busy")["status"],
        _feed(child, site, "/busy")["problem"]["type"],
    )


def test_the_owner_need_not_wait_for_our_own_caution(site: Site, follow: Callable[..., Child]) -> None:
    """ "Sync now" asks a feed that is left alone because it failed; what the schedule starts leaves it alone."""
    child = follow(site.url("/feed"))
    for _ in range(3):
        child.sync()
    before = site.count("/feed")
    child.sync(actor="app:7")
    site.pages["/feed"] = Reply(rss(item("1", "one")), headers={"ETag": '"one"'})
    run = child.sync(actor="owner")[0]

    assert (2, 3) == (before, site.count("/feed"))
    assert ("ok", "ok") == (run["status"], _feed(child, site, "/feed")["status"])


def test_the_owner_asks_with_validators_and_never_what_is_gone(site: Site, follow: Callable[..., Child]) -> None:
    """A feed that did not change is answered by 304, and 410 stays 410."""
    site.pages["/same"] = Reply(rss(item("1", "one")), headers={"ETag": '"one"'})
    site.pages["/gone"] = Reply(status=410)
    child = follow(site.url("/same"), site.url("/gone"))
    for _ in range(2):
        child.sync(actor="owner")

    assert '"one"' == site.asked[-1].headers["If-None-Match"]
    assert (2, 1) == (site.count("/same"), site.count("/gone"))


@pytest.mark.parametrize("status", [429, 503])
def test_the_owner_waits_as_long_as_a_server_asked(site: Site, follow: Callable[..., Child], status: int) -> None:
    """Retry-After is the server's own word: "Sync now" respects it, and the feed is still told as failing."""
    site.pages["/busy"] = Reply(status=status, headers={"Retry-After": "3600"})
    child = follow(site.url("/busy"))
    child.sync()
    run = child.sync(actor="owner")[0]

    assert 1 == site.count("/busy")
    assert ("failed", "failing") == (run["status"], _feed(child, site, "/busy")["status"])


@pytest.mark.parametrize(("status", "code"), [(404, "not_found"), (401, "user_action_needed"), (503, "retry")])
def test_a_feed_that_is_left_alone_keeps_its_problem(
    site: Site, follow: Callable[..., Child], status: int, code: str
) -> None:
    """Its class, and so what the owner is told to do, is that of the answer, asked again or not."""
    site.pages["/feed"] = Reply(status=status)
    child = follow(site.url("/feed"))
    problems = [child.sync()[0]["problem"] for _ in range(4)]

    assert 2 == site.count("/feed")
    assert code == problems[0]["type"]
    assert [problems[0]] * 4 == problems


def test_for_the_owner_a_server_may_ask_for_a_day() -> None:
    """Just under it is respected, just over it is cut for the owner and not for the schedule; none asked, none kept."""
    day = RETRY_AFTER_OWNER_S
    short, long = (put_off(State(), now=NOW, asked_s=asked_s) for asked_s in (day - 1, day + 1))
    own = put_off(State(failures=5, asked_until=NOW + 9), now=NOW, asked_s=None)

    assert [NOW + day - 1, NOW + day, 0.0] == [short.asked_until, long.asked_until, own.asked_until]
    assert [False, True] == [long.is_due(now=NOW + day, is_for_owner=owner) for owner in (False, True)]
    assert [False, True] == [own.is_due(now=NOW, is_for_owner=owner) for owner in (False, True)]
    assert not State(gone=True).is_due(now=NOW, is_for_owner=True)


def test_a_failing_feed_is_asked_less_and_less() -> None:
    """The first failure is tried at the next run, further ones later and later, up to a week."""
    state, waits = State(), []
    for _ in range(20):
        state = put_off(state, now=NOW, asked_s=None)
        waits.append(state.not_before - NOW if state.not_before else 0.0)

    assert 0.0 == waits[0]
    assert waits[1] >= 3600
    assert all(later >= 0.45 * sooner for sooner, later in pairwise(waits[1:]))
    assert BACKOFF_MAX_S / 2 <= waits[-1] <= BACKOFF_MAX_S


def test_a_feed_that_recovers_is_well_again(site: Site, follow: Callable[..., Child]) -> None:
    """Its status, its problem and its pauses are forgotten."""
    child = follow(site.url("/feed"))
    child.sync()
    failing = _feed(child, site, "/feed")
    site.pages["/feed"] = Reply(rss(item("1", "one"), title="Back"))
    child.sync()

    assert ("failing", "not_found") == (failing["status"], failing["problem"]["type"])
    assert ("ok", None, "Back") == tuple(_feed(child, site, "/feed")[n] for n in ("status", "problem", "title"))


def test_one_bad_feed_spares_the_others(site: Site, follow: Callable[..., Child]) -> None:
    """Missing, empty, a web page, an error, not HTTP: each is told, the good one is complete."""
    bad = {
        "/missing": Reply(status=404),
        "/error": Reply(status=500),
        "/empty": Reply(b""),
        "/page": Reply(b"<!doctype html><html><body>hello</body></html>"),
        "/text": Reply(b"just words"),
        "/json": Reply(b'{"hello": "world"}'),
        "/secret": Reply(status=401),
        "/teapot": Reply(status=418),
    }
    site.pages.update(bad)
    site.pages["/good"] = Reply(rss(*(item(str(n), f"entry {n}") for n in range(20))))
    child = follow(*(site.url(path) for path in [*bad, "/good"]))
    run = child.sync()[0]
    feeds = {r["value"]["url"].rpartition("/")[2]: r["value"] for r in child.records("feed").values()}

    assert ("partial", 20) == (run["status"], len(child.records("entry")))
    assert "8 of 9 feeds" in run["problem"]["detail"]
    assert "ok" == feeds.pop("good")["status"]
    assert {"failing"} == {feed["status"] for feed in feeds.values()}
    assert all(feed["problem"]["detail"] and feed["problem"]["remedy"] for feed in feeds.values())


def test_a_run_without_a_readable_feed_failed(site: Site, follow: Callable[..., Child]) -> None:
    """The records of how the feeds are do not make it a success; one feed that is well does, asked or not."""
    child = follow(site.url("/a"), site.url("/b"))
    runs = [child.sync()[0] for _ in range(3)]
    site.pages["/a"] = Reply(rss(item("1", "one")))
    runs += child.sync(actor="owner") + child.sync(actor="owner")

    assert ["failed", "failed", "failed", "partial", "partial"] == [run["status"] for run in runs]
    assert 2 == len(child.records("feed"))


def test_without_a_feed_the_owner_is_asked(site: Site, follow: Callable[..., Child]) -> None:
    """Nothing to fetch is not the same as being up to date; an import of a list ends it."""
    child = follow()
    run = child.sync()[0]

    assert ("held", "No feed is followed yet.") == (run["status"], run["problem"]["detail"])
    assert "OPML" in run["problem"]["remedy"]


def test_no_network_blames_no_feed(site: Site, follow: Callable[..., Child]) -> None:
    """When nothing at all can be reached the run fails and is tried again soon; no feed's pause grows."""
    site.pages["/feed"] = Reply(rss(item("1", "one")))
    child = follow(site.url("/feed"))
    child.sync()
    site.close()
    run = child.sync()[0]

    assert ("failed", "offline") == (run["status"], run["problem"]["type"])
    assert "ok" == _feed(child, site, "/feed")["status"]


def test_a_name_and_password_are_used_and_not_shown(site: Site, follow: Callable[..., Child]) -> None:
    """An address with credentials works; no record and no list shows them."""
    site.pages["/feed"] = Reply(rss(item("1", "one")))
    child = follow(site.url("/feed").replace("http://", "http://ann:s3cret-word@"))
    child.sync()
    child.post("/opml", data=b"<opml/>")

    assert site.asked[0].headers["Authorization"].startswith("Basic ")
    assert 1 == len(child.records("entry"))
    for path in ("/facts", "/records/feed", "/records/entry", "/opml", "/status", "/"):
        assert "s3cret-word" not in child.get(path).text
    child.stop()
    assert "s3cret-word" not in "\n".join(child.log)


def test_one_server_is_asked_one_thing_at_a_time(site: Site, follow: Callable[..., Child]) -> None:
    """Ten feeds of one site: never two requests at once."""
    now, most = [0], [0]

    def slow(asked: Asked) -> Reply:
        now[0] += 1
        most[0] = max(most[0], now[0])
        time.sleep(0.05)
        now[0] -= 1
        return Reply(rss(item(asked.path, "one")))

    site.pages.update({f"/{n}": slow for n in range(10)})
    child = follow(*(site.url(f"/{n}") for n in range(10)))
    child.sync()

    assert (10, 1) == (len(child.records("entry")), most[0])


def test_the_owner_is_told_how_far_it_is(site: Site, follow: Callable[..., Child]) -> None:
    """Progress counts feeds."""
    site.pages.update({f"/{n}": Reply(rss()) for n in range(3)})
    child = follow(*(site.url(f"/{n}") for n in range(3)))
    with child.get("/status", headers={"Accept": "text/event-stream"}, stream=True) as events:
        lines = events.iter_lines(decode_unicode=True)
        child.post("/sync")
        seen = []
        for line in lines:
            seen.append(line)
            if line == "event: run":
                break

    assert any('"total":3' in line for line in seen)


def test_nginx_compresses_and_validates(nginx: str, follow: Callable[..., Child]) -> None:
    """A real server: gzip on the way, 304 the second time, permanent moves remembered, temporary ones not."""
    plain = requests.get(f"{nginx}/small_atom.xml", headers={"Accept-Encoding": "gzip"}, timeout=5, stream=True)
    child = follow(f"{nginx}/moved/small_atom.xml", f"{nginx}/elsewhere/itunes.xml")
    child.sync()
    run = child.sync()[0]
    moved = {r["value"]["url"]: r["value"]["moved_to"] for r in child.records("feed").values()}

    assert "gzip" == plain.headers["Content-Encoding"]
    assert ("ok", 0) == (run["status"], run["new"] + run["updated"])
    assert {
        f"{nginx}/moved/small_atom.xml": f"{nginx}/small_atom.xml",
        f"{nginx}/elsewhere/itunes.xml": None,
    } == moved


def test_nginx_asks_for_fewer_requests(nginx: str, follow: Callable[..., Child]) -> None:
    """429 from a real server is told as such, and the feed is well when it answers again."""
    requests.get(f"{nginx}/limited/a10.xml", timeout=5)
    child = follow(f"{nginx}/limited/a10.xml", f"{nginx}/itunes.xml")
    run = child.sync()[0]

    assert ("partial", "rate_limited") == (run["status"], run["problem"]["type"])
    assert 3 == len(child.records("entry"))

"""search: what is asked of the core, and how it is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.cli import exits
from core.model.clock import SystemClock
from core.model.fact import Change
from core.store import Origin, Store
from tests.cli.conftest import Locker
from tests.cli.fake_core import FakeCore

HIT = {
    "service": "feeds", "type": "entry", "key": "a", "seq": 1, "at": 1_700_000_000.0, "rank": 1.0,
    "title": {"text": "Fog\x1b bank", "marks": [[0, 3]]}, "snippet": {"text": "thick fog", "marks": [[6, 9]]},
    "link": None, "href": "/Me/feeds/records/entry/a",
}  # fmt: skip


def page(*hits: dict[str, Any], count: int = 0, **changed: Any) -> dict[str, Any]:
    """What the core answers."""
    rest: dict[str, Any] = {
        "next": None,
        "count": count or len(hits),
        "is_capped": False,
        "counts": {},
        "is_cut": False,
        "skipped": [],
    }
    return {"hits": list(hits), **rest, **changed}


def test_hits_are_shown_with_where_they_are(locker: Locker, core: FakeCore) -> None:
    """Title, service, type, text and the address of the page; nothing that a terminal would obey."""
    core.answer("GET", "/search?q=fog&limit=10", page(HIT))
    done = locker("search", "fog")

    assert exits.DONE == done.code
    lines = done.out.splitlines()
    assert "Fog\N{REPLACEMENT CHARACTER} bank" == lines[0]
    assert lines[1].startswith("  feeds · entry · 2023-11-1")
    assert "  thick fog" == lines[2]
    assert lines[3].startswith("  http://locker.localhost:") and lines[3].endswith("/services/feeds/records/entry/a")
    assert "1 record." == lines[-1]


def test_everything_that_can_be_said_is_asked(locker: Locker, core: FakeCore) -> None:
    """A word left out is no option; services and types may come again."""
    path = "/search?q=%22fog+bank%22+-storm&services=feeds%2Cmail&types=entry&as_of=2026-03-10&limit=3"
    core.answer("GET", path, page())
    installed = {name: {"id": name, "types": ["entry"]} for name in ("feeds", "mail")}
    core.answer("GET", "/map", {"installed": installed})
    done = locker(
        "search", '"fog bank"', "-storm", "--service", "feeds", "--service", "mail", "--type", "entry",
        "--as-of", "2026-03-10", "--limit", "3",
    )  # fmt: skip

    assert (exits.DONE, "Nothing found.") == (done.code, done.out.strip())


def test_json_is_the_answer_itself(locker: Locker, core: FakeCore) -> None:
    """For scripts."""
    core.answer("GET", "/search?q=fog&limit=10", page(HIT))

    assert page(HIT) == json.loads(locker("search", "fog", "--json").out)


def test_a_capped_count_and_a_skipped_service_are_told(locker: Locker, core: FakeCore) -> None:
    """On standard error what could not be searched."""
    skipped = [{"service": "mail", "reason": "its store is damaged"}]
    core.answer("GET", "/search?q=fog&limit=10", page(HIT, count=500, is_capped=True, skipped=skipped))
    done = locker("search", "fog")

    assert "More than 500 records; the best 1 are shown." == done.out.splitlines()[-1]
    assert "mail could not be searched: its store is damaged." in done.err


@pytest.mark.parametrize(
    "arguments", [(), ("fog", "--srvice", "x"), ("fog", "--limit", "0"), ("fog", "--limit", "201")]
)
def test_a_command_line_that_cannot_be_understood(locker: Locker, core: FakeCore, arguments: tuple[str, ...]) -> None:
    """An option that is none is no word to look for."""
    assert exits.USAGE == locker("search", *arguments).code
    assert [] == core.asked


@pytest.mark.parametrize("words", ["-storm", "--  -storm -fog", "-- NOT storm", "...", '""'])
def test_a_question_needs_a_word_to_look_for(locker: Locker, core: FakeCore, words: str) -> None:
    """What is only left out, or holds no word, finds nothing: that is told, and nobody asked."""
    done = locker("search", *words.split())

    assert exits.REFUSED == done.code
    assert "word to look for" in done.err
    assert [] == core.asked


@pytest.fixture
def mail(core: FakeCore) -> FakeCore:
    """A core with one service, whose store holds a type that its connector does not name any more."""
    core.answer("GET", "/map", {"installed": {"mail": {"id": "mail", "types": ["letter"]}}})
    core.answer("GET", "/search?q=fog&types=letter%2Cpostcard&limit=10", page(HIT))
    with Store.open(core.me / "mail", types={}, origin=Origin(log="x", epoch=1), clock=SystemClock()) as store:
        store.commit([Change(type="postcard", key="1", value={})])
    return core


def test_a_type_that_no_store_knows_is_told_with_those_there_are(locker: Locker, mail: FakeCore) -> None:
    """One that a connector names, or a store holds, is asked for; a slip of the pen is no empty answer."""
    known = locker("search", "fog", "--type", "letter", "--type", "postcard")
    unknown = locker("search", "fog", "--type", "leter", "--json")

    assert exits.DONE == known.code
    assert (exits.REFUSED, "") == (unknown.code, unknown.out)
    assert ["No service has a type 'leter'.", "There are: letter, postcard."] == unknown.err.splitlines()


def test_a_service_that_is_not_installed_is_told(locker: Locker, mail: FakeCore) -> None:
    """Searching nothing is no empty answer either."""
    unknown = locker("search", "fog", "--service", "male")

    assert exits.REFUSED == unknown.code
    assert ["There is no service 'male'.", "There are: mail."] == unknown.err.splitlines()


def test_a_type_of_the_past_is_searched_as_of_then(locker: Locker, mail: FakeCore) -> None:
    """Nobody may have it any more."""
    mail.answer("GET", "/search?q=fog&types=telegram&as_of=1999-01-01&limit=10", page())

    assert exits.DONE == locker("search", "fog", "--type", "telegram", "--as-of", "1999-01-01").code


def test_a_type_is_searched_where_a_store_cannot_tell_its_own(locker: Locker, mail: FakeCore) -> None:
    """It may be there: the core says which store it could not search."""
    skipped = [{"service": "mail", "reason": "its store is damaged"}]
    mail.answer("GET", "/search?q=fog&types=telegram&limit=10", page(skipped=skipped))
    (mail.me / "mail" / "store.db").write_bytes(b"This is no database. " * 1000)

    assert exits.DONE == locker("search", "fog", "--type", "telegram").code

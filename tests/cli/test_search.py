"""search: what is asked of the core, and how it is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.cli import exits
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

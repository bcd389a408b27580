"""Services that keep their data by themselves are asked for it, within bounds, and left asleep."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.web import ChildState
from tests.web.conftest import Site
from tests.web.dashboard.conftest import Browse, text_of
from tests.web.fake_reader import FakeReader
from tests.web.scenes import furnish


def test_a_service_that_keeps_its_data_itself_says_so(site: Site, browse: Browse) -> None:
    """It declares no types and has no store: that is not the same as having stored nothing."""
    furnish(site.world)
    card, page = text_of(browse("/")), text_of(browse("/services/notes"))

    assert "Notes Ready It keeps its data by itself; open it to see. Wake it Open" in card
    assert "It keeps its data by itself" in page
    assert "Nothing yet" not in page


def test_a_sleeping_child_is_not_woken_by_a_look(site: Site, browse: Browse) -> None:
    """What it keeps itself is seen once its owner wakes it, from its page or from the list of a type."""
    furnish(site.world)
    page = text_of(browse("/services/notes"))
    listing = text_of(browse("/services/notes/records/note"))
    looked = list(site.world.children.asked)
    woken = browse("/services/notes/wake", {"type": "note"})

    assert "It keeps its data by itself; open it to see. Wake it" in page
    assert "Notes keeps its data by itself; open it to see. Wake it" in listing
    assert [] == looked
    assert (303, "/services/notes/records/note?done=woken") == (woken.status, woken.headers["location"])
    assert [("GET", "notes", "/")] == site.world.children.asked


def test_a_running_child_tells_what_it_keeps_itself(site: Site, browse: Browse) -> None:
    """Counts, records, one record and its history, as its own answers say."""
    furnish(site.world)
    site.world.children.states["notes"] = ChildState("running")
    note = {"key": "n1", "value": {"id": "n1", "text": "Buy milk"}, "common": {"title": "Buy milk"}, "at": 86400.5}
    site.world.children.answers = {
        path: (200, json.dumps(answer).encode())
        for path, answer in {
            "/": {"counts": {"note": 1}},
            "/records/note": {"records": [{**note, "seq": 2, "href": "records/note/n1"}], "next": None},
            "/records/note/n1": {**note, "seq": 2},
            "/records/note/n1/history": {
                "facts": [
                    {"seq": 2, "action": "put", "value": {"text": "Buy milk"}, "at": 86400.5},
                    {"seq": 1, "action": "put", "value": {"text": "Buy"}, "at": 86400},
                ],
                "next": None,
            },
        }.items()
    }

    site.world.children.answer = (404, b"{}")

    assert "1 note" in text_of(browse("/services/notes"))
    assert "Buy milk" in text_of(browse("/services/notes/records/note"))
    assert "text before: Buy after: Buy milk" in text_of(browse("/services/notes/records/note/n1"))
    assert 404 == browse("/services/notes/records/note/n2").status


def test_the_first_page_asks_no_child(site: Site, browse: Browse) -> None:
    """However many keep their data themselves: a look at all of them waits for none of them."""
    for number in range(12):
        site.world.install("feeds", f"notes-{number}")
        site.world.readers[f"notes-{number}"] = FakeReader(incarnation="")
        site.world.children.states[f"notes-{number}"] = ChildState("running")
    furnish(site.world)
    site.world.children.states["notes"] = ChildState("running")
    text = text_of(browse("/"))

    assert "Notes Ready It keeps its data by itself. Open" in text
    assert [] == site.world.children.asked


def test_a_child_has_one_bound_for_all_it_is_asked(site: Site, browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for the service's page; two for a list, the first answer's time taken from the next one's."""
    furnish(site.world)
    clock, children = site.world.clock, site.world.children
    children.states["notes"] = ChildState("running")
    waits: list[float] = []

    def slow(_service_id: str, *, timeout_s: float, **_how: Any) -> tuple[int, bytes]:
        waits.append(round(timeout_s, 3))
        clock.advance(0.75)
        return 200, b'{"records": []}'

    monkeypatch.setattr(children, "call", slow)
    browse("/services/notes")
    browse("/services/notes/records/note")

    assert [1.0, 2.0, 1.25] == waits


def test_a_child_that_used_up_its_time_is_asked_no_more(
    site: Site, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list says that it took too long."""
    furnish(site.world)
    site.world.children.states["notes"] = ChildState("running")
    asked: list[str] = []

    def slow(_service_id: str, *, path: str, **_how: Any) -> tuple[int, bytes]:
        asked.append(path)
        site.world.clock.advance(2.0)
        return 200, b"{}"

    monkeypatch.setattr(site.world.children, "call", slow)
    answer = browse("/services/notes/records/note")

    assert (504, ["/"]) == (answer.status, asked)


@pytest.mark.parametrize("answer", [(200, b"<p>"), (500, b"{}"), (200, b'{"counts": {"note": "many"}}'), (200, b"[]")])
def test_a_child_that_tells_nonsense_spoils_nothing(site: Site, browse: Browse, answer: tuple[int, bytes]) -> None:
    """The pages of all services stand; the list of its type says that it went wrong."""
    furnish(site.world)
    site.world.children.states["notes"] = ChildState("running")
    site.world.children.answer = answer
    site.world.children.answers = {"/records/note": answer}

    assert "It keeps its data by itself" in text_of(browse("/"))
    assert 200 == browse("/services/notes").status
    assert 502 == browse("/services/notes/records/note").status

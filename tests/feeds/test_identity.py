"""One guid, one entry or several: decided once, and kept whatever stands beside it in later documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.feeds.entries import puts
from connectors.feeds.identity import SHARED_MAX, identified
from connectors.feeds.reading import Document
from connectors.sdk.testing import Child
from tests.feeds.site import Reply, Site, item, rss

Entry = dict[str, Any]


class Shelf:
    """A feed's records over many runs, each version kept."""

    def __init__(self) -> None:
        self.versions: dict[str, list[Entry]] = {}
        self.shared: tuple[str, ...] = ()

    def run(self, *entries: Entry) -> None:
        """One document after another, as the stream takes them in."""
        found = identified(entries, feed="f", shared=self.shared, stored=lambda key: self.versions.get(key, [None])[-1])
        self.shared = found.shared
        document = Document(format="x", entries=entries, moments=(None,) * len(entries))
        for put in puts(document, feed="f", url="http://e.test/feed", keys=found.keys):
            value = {name: text for name, text in put.value.items() if name != "feed"}
            versions = self.versions.setdefault(str(put.key), [])
            if not versions or versions[-1] != value:
                versions.append(value)

    @property
    def titles(self) -> list[list[str]]:
        """The titles of each record, one version after another."""
        return sorted([version["title"] for version in versions] for versions in self.versions.values())


ONE = {"id": "G", "link": "http://e.test/1", "title": "one"}
TWO = {"id": "G", "link": "http://e.test/2", "title": "two"}
THREE = {"id": "G", "link": "http://e.test/3", "title": "three"}


@pytest.mark.parametrize(
    "runs",
    [
        [[ONE], [TWO, ONE], [TWO]],
        [[ONE], [TWO], [ONE]],
        [[ONE], [TWO], [TWO, ONE], [ONE], [TWO]],
        [[ONE, TWO], [TWO], [ONE]],
        [[TWO, ONE], [ONE], [TWO, ONE]],
    ],
)
def test_one_guid_on_two_entries_is_two_entries(runs: list[list[Entry]]) -> None:
    """Whichever came first or stands alone: none is doubled, none is taken for an edit of the other."""
    shelf = Shelf()
    for run in runs:
        shelf.run(*run)

    assert [["one"], ["two"]] == shelf.titles


def test_a_shared_guid_stays_shared() -> None:
    """A third entry with the title of the first is no edit of it."""
    shelf = Shelf()
    shelf.run(ONE)
    shelf.run(ONE, TWO)
    shelf.run({**THREE, "title": "one"})
    shelf.run(ONE)

    assert [["one"], ["one"], ["two"]] == shelf.titles


@pytest.mark.parametrize(
    "edits",
    [
        [{"title": "one, mended"}],
        [{"link": "http://e.test/moved"}],
        [{"title": "one, mended"}, {"link": "http://e.test/moved"}, {"title": "one"}, {"link": ONE["link"]}],
        [{"title": "one, mended", "link": ""}],
        [{"summary": "more"}],
    ],
)
def test_an_edit_stays_an_edit(edits: list[Entry]) -> None:
    """Title, link or text of an entry that has its guid alone."""
    shelf, entry = Shelf(), ONE
    shelf.run(entry)
    for edit in edits:
        entry = {**entry, **edit}
        shelf.run(entry, {"id": "other", "title": "other"})

    assert {1 + len(edits), 1} == {len(versions) for versions in shelf.versions.values()}
    assert 2 == len(shelf.versions)


def test_a_new_title_that_moves_the_link_is_an_edit() -> None:
    """Programs that make the address of the title: the time of publishing says that it is the same entry."""
    shelf = Shelf()
    shelf.run({**ONE, "published": "Thu, 01 Jan 2026"})
    shelf.run({**TWO, "published": "Thu, 01 Jan 2026"})
    shelf.run({**THREE, "published": "Fri, 02 Jan 2026"})

    assert [["one", "two"], ["three"]] == shelf.titles


ITEMS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=6, unique_by=lambda pair: pair[0])


@given(st.lists(ITEMS, max_size=12))
def test_any_documents_keep_entries_apart(runs: list[list[tuple[int, int]]]) -> None:
    """Five entries under one guid, each edited now and then, in any company and order: each is one record."""
    shelf, seen = Shelf(), dict[int, list[str]]()
    for run in runs:
        shelf.run(*({"id": "G", "link": f"http://e.test/{n}", "title": f"{n} {edit}"} for n, edit in run))
        for n, edit in run:
            titles = seen.setdefault(n, [])
            if titles[-1:] != [f"{n} {edit}"]:
                titles.append(f"{n} {edit}")

    assert sorted(seen.values()) == shelf.titles


EDITS = st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=12)


@given(EDITS)
def test_any_edits_of_one_entry_are_one_record(edits: list[tuple[bool, int]]) -> None:
    """Now the title, now the link."""
    shelf, entry = Shelf(), ONE
    shelf.run(entry)
    for is_link, n in edits:
        entry = {**entry, **({"link": f"http://e.test/{n}"} if is_link else {"title": f"title {n}"})}
        shelf.run(entry)

    assert 1 == len(shelf.versions)


def test_shared_guids_are_bounded() -> None:
    """The newest are remembered."""
    entries = [{"id": str(n), "link": f"http://e.test/{n}/{side}"} for n in range(SHARED_MAX + 1) for side in "ab"]

    assert SHARED_MAX == len(identified(entries, feed="f").shared)


def test_a_service_keeps_them_apart(site: Site, follow: Callable[..., Child]) -> None:
    """Over runs of a real process, and a restart."""
    one, two = item("G", "one", "http://e.test/1"), item("G", "two", "http://e.test/2")
    child = follow(site.url("/feed"))
    for items in ([one], [two, one], [two]):
        site.pages["/feed"] = Reply(rss(*items))
        child.sync()
        child.stop()
        child = follow(site.url("/feed"))
    facts = [fact for fact in child.facts() if fact["type"] == "entry"]

    assert ["one", "two"] == [fact["value"]["title"] for fact in facts]
    assert 2 == len(child.records("entry"))

"""Logs as they are read: stores that move on, go away, come back, or lie."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from core.events.cursor import Position
from core.events.logs import PAGE_ENTRIES_MAX, FactLog, heads_of, read_page, resumed
from core.model.errors import FactDamaged, FileDamaged
from core.model.fact import Fact
from tests.events.desk import new_desk, open_desk, until
from tests.events.test_match import FACT
from tests.events.wire import open_streams


class Told:
    """A store that says whatever the test wants."""

    uid = "019a0000-0000-7000-8000-000000000000"
    account = None

    def __init__(self, *, head: int, facts: int, epoch: str = "aa") -> None:
        self._head = head
        self._facts = facts
        self._epoch = epoch

    def network_of(self, type_name: str, /) -> str:
        return "github"

    def epoch(self) -> str:
        return self._epoch

    def head(self) -> int:
        if self._head < 0:
            raise FileDamaged("store.db is damaged")
        return self._head

    def floor(self) -> int:
        return 0

    def facts(self, since: int, /, *, limit: int) -> list[Fact]:
        seqs = range(since + 1, min(since + limit, self._facts) + 1)
        return [msgspec.structs.replace(FACT, seq=seq) for seq in seqs]

    def previous(self, fact: Fact, /) -> None:
        return None


class Damaged(Told):
    """A store with facts that are not what was written."""

    def facts(self, since: int, /, *, limit: int) -> list[Fact]:
        if since + 1 in (3, 4):
            raise FactDamaged(f"fact {since + 1} is damaged", seq=since + 1)
        whole = super().facts(since, limit=limit)
        return [fact for fact in whole if fact.seq < 3 or since >= 4]

    def previous(self, fact: Fact, /) -> None:
        raise FactDamaged("fact 3 is damaged", seq=3)


def test_a_damaged_fact_hides_none_behind_it() -> None:
    """It is passed over; where it is what another replaced, that one comes without it."""
    log = FactLog("github", Damaged(head=6, facts=6))
    known, seen = Position("aa", 0), []
    while page := read_page(log, known).entries:
        seen += page
        known = Position("aa", page[-1].seq)

    assert [1, 2, 5, 6] == [entry.seq for entry in seen]
    assert log.event(seen[-1]).before is None


def test_pages_end_where_the_log_ends() -> None:
    """Two and a half pages are read as three, the last of which says so."""
    log = FactLog("github", Told(head=250, facts=250))
    known, sizes, last = Position("aa", 0), [], False
    while not last:
        page = read_page(log, known)
        sizes.append(len(page.entries))
        known, last = Position("aa", page.entries[-1].seq), page.is_last

    assert [PAGE_ENTRIES_MAX, PAGE_ENTRIES_MAX, 50] == sizes
    assert [] == read_page(log, known).entries


@pytest.mark.parametrize(("head", "facts"), [(3, 10), (10, 3), (0, 10), (2**62, 3)])
def test_a_log_that_lies_about_its_end_does_no_harm(head: int, facts: int) -> None:
    """A position is never past the end that the log names, and a log that ends early is at its end."""
    log = FactLog("github", Told(head=head, facts=facts))
    page = read_page(log, None)
    read = page.entries[-1].seq if page.entries else 0
    again = read_page(log, Position("aa", read))

    assert min(head, facts) == read
    assert (True, []) == (again.is_last, again.entries)


@pytest.mark.parametrize(
    ("known", "head", "start"),
    [
        (None, Position("aa", 5), Position("aa", 0)),
        (Position("aa", 3), Position("aa", 5), Position("aa", 3)),
        (Position("aa", 5), Position("aa", 5), Position("aa", 5)),
        (Position("aa", 6), Position("aa", 5), Position("aa", 0)),
        (Position("aa", 3), Position("bb", 5), Position("bb", 0)),
        (Position("", 0), Position("aa", 5), Position("aa", 0)),
        (Position("aa", 3), Position("", 0), Position("aa", 3)),
        (Position("", 7), Position("", 9), Position("", 7)),
    ],
)
def test_where_reading_goes_on(known: Position | None, head: Position, start: Position) -> None:
    """At the known place within an epoch, at the beginning of a new or restored log, nowhere while it is away."""
    assert start == resumed(FactLog("github", Told(head=0, facts=0)), known, head)


def test_a_damaged_log_has_no_head_and_the_others_do(tmp_path: Path) -> None:
    """Asking all logs where they end leaves out the one that cannot say."""
    good, bad = FactLog("github", Told(head=3, facts=3)), FactLog("mail", Told(head=-1, facts=0))

    assert {"a": Position("aa", 3)} == heads_of({"a": good, "b": bad})


def test_the_account_addresses_a_record_and_else_the_uid(tmp_path: Path) -> None:
    """Before sign-in a service's records are addressed by its uid."""
    with new_desk(tmp_path) as desk:
        desk.put("github", "1")
        shelf = desk.shelf("github")
        signed_in = FactLog("github", shelf).page(0, limit=1)[0].idr
        shelf.account = None
        before = FactLog("github", shelf).page(0, limit=1)[0].idr

        assert ("me", shelf.uid) == (signed_in.account, before.account)


def test_a_store_that_is_away_for_a_while_is_not_delivered_again(tmp_path: Path) -> None:
    """A folder that vanishes and comes back, as on a drive that was pulled, costs nobody a second delivery."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "1", "2")
            await until(lambda: len(desk.taken) == 2)
            desk.shelf("github")
            store = desk.folder / "github" / "store.db"
            names = [path.name for path in store.parent.glob("store.db*")]
            for name in names:
                (store.parent / name).rename(desk.folder / name)
            desk.put("twitter", "3")
            desk.bus.committed("github", 2)
            await until(lambda: len(desk.taken) == 3)
            for name in names:
                (desk.folder / name).rename(store.parent / name)
            desk.put("github", "4")
            await until(lambda: len(desk.taken) == 4)

            assert ["1", "2", "3", "4"] == desk.heard()

    asyncio.run(scene())


def test_a_busy_log_does_not_keep_live_streams_from_the_others(tmp_path: Path) -> None:
    """While thousands of facts of one log are shown, another's single one comes after a few pages."""

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            viewing = await streams.view()
            for page in range(6):
                streams.desk.put("aaa", *(f"{page}-{number}" for number in range(500)), tell=False)
            streams.desk.put("zzz", "mine", tell=False)
            streams.desk.bus.committed("aaa", 3000)
            streams.desk.bus.committed("zzz", 1)
            keys = await viewing.keys(3001)

            assert keys.index("mine") < 1000

    asyncio.run(scene())


@pytest.mark.parametrize(("first_answered", "floor"), [(0, 0), (1, 0), (8, 7)])
def test_the_floor_is_the_stores(first_answered: int, floor: int) -> None:
    """What lies before the first position that the store answers for may be gone."""

    class Pruned(Told):
        def floor(self) -> int:
            return first_answered

    assert floor == FactLog("github", Pruned(head=9, facts=9)).floor()


def test_a_floor_that_cannot_be_read_keeps_nobody_out() -> None:
    """The other logs are heard all the same."""

    class Broken(Told):
        def floor(self) -> int:
            raise FileDamaged("store.db is damaged")

    assert 0 == FactLog("github", Broken(head=9, facts=9)).floor()

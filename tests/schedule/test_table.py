"""The rows of the pending calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from core.schedule.plan import CALLS_MAX, Pending, fired
from core.schedule.table import PendingTable
from core.store import CoreDb

NOW = 1_700_000_000.0
ASKED = Pending(service="feeds", path="/a", at=NOW, kind="asked")


@pytest.fixture
def table(tmp_path: Path) -> Iterator[PendingTable]:
    """A table in a core.db of its own."""
    with CoreDb.open(tmp_path / "core.db") as coredb:
        yield PendingTable(coredb)


def test_what_is_replaced_is_what_was_read(table: PendingTable) -> None:
    """An entry that changed since it was read is not replaced."""
    table.ask(ASKED)
    under_way = fired(ASKED, now=NOW, frequency_s=None)

    stale = msgspec.structs.replace(ASKED, at=NOW - 1)

    assert [] == table.replace([(stale, under_way)])
    assert [(ASKED, under_way)] == table.replace([(ASKED, under_way)])
    assert [under_way] == table.all("feeds")


def test_settling_leaves_alone_what_the_child_asked_meanwhile(table: PendingTable) -> None:
    """Only the entry that stands in for the call is settled; a cancelled one does not come back."""
    under_way = fired(ASKED, now=NOW, frequency_s=None)
    table.ask(ASKED)

    table.settle(under_way, None)
    table.settle(under_way, msgspec.structs.replace(under_way, at=NOW + 9, last_problem="it answered 500"))

    assert [ASKED] == table.all()
    assert table.cancel("feeds", "/a")
    table.settle(under_way, msgspec.structs.replace(under_way, last_problem="it answered 500"))
    assert [] == table.all()


def test_a_settled_turn_keeps_the_time_that_followed_the_clock(table: PendingTable) -> None:
    """A clock set back during the call has moved the next turn, and the answer does not move it again."""
    under_way = fired(ASKED, now=NOW, frequency_s=3600)
    table.add([under_way])
    table.shift(-1000.0)

    table.settle(under_way, msgspec.structs.replace(under_way, tries=0))

    assert [(NOW + 2600, 0)] == [(each.at, each.tries) for each in table.all()]


def test_one_service_does_not_fill_the_list_of_what_is_due(table: PendingTable) -> None:
    """With a thousand entries of one service due, another's single one is among those looked at."""
    table.add(Pending(service="feeds", path=f"/{n}", at=NOW - 1000 + n, kind="asked") for n in range(1000))
    table.add([Pending(service="mail", path="/a", at=NOW, kind="asked")])

    due = table.due(NOW)

    assert "mail" in {each.service for each in due}
    assert len(due) <= 4 * CALLS_MAX


def test_the_next_moment_is_of_what_is_not_due(table: PendingTable) -> None:
    """What is due or given up does not set the alarm."""
    table.add([ASKED, Pending(service="feeds", path="/b", at=NOW + 5, kind="asked")])
    table.add([Pending(service="feeds", path="/c", at=NOW + 1, kind="fallback", tries=12, last_problem="x")])

    assert NOW + 5 == table.next_at(NOW)
    assert table.next_at(NOW + 5) is None

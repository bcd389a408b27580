"""What the owner should know, and has put away."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.model.clock import ManualClock
from core.model.errors import NotFound
from core.store import Documents
from core.web import Notice
from core.web.notices import PUT_AWAY_MAX, Notices, key_of


class Told:
    """Notices that a test sets, kept in a file."""

    def __init__(self, folder: Path) -> None:
        self.found: list[Notice] = []
        self.path = folder / "locker.json"
        self.clock = ManualClock()
        self.notices = self.opened()

    def opened(self) -> Notices:
        """As after a start."""
        return Notices(lambda: self.found, Documents(self.path, self.clock), self.clock)

    def fresh(self) -> list[str]:
        """The texts at the front."""
        return [notice.text for notice in self.notices.fresh()]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """Nothing to tell yet."""
    return Told(tmp_path)


def test_putting_away_survives_a_restart(told: Told) -> None:
    """It goes by the text: another sentence about the same thing is shown."""
    told.found = [Notice("one"), Notice("two")]
    told.notices.put_away(key_of(told.found[0]))
    told.notices = told.opened()
    told.found.append(Notice("one, but worse"))

    assert ["two", "one, but worse"] == told.fresh()
    assert 3 == len(told.notices.all())


def test_only_what_stands_can_be_put_away(told: Told) -> None:
    """Neither what is not told, nor advice, nor what was put away."""
    told.found = [Notice("one"), Notice("two", is_advice=True)]
    told.notices.put_away(key_of(told.found[0]))

    for key in ("", "nonsense", key_of(told.found[0]), key_of(told.found[1])):
        with pytest.raises(NotFound):
            told.notices.put_away(key)


def test_what_is_remembered_is_bounded(told: Told) -> None:
    """The oldest is forgotten, and would be shown again."""
    told.found = [Notice(f"notice {number}") for number in range(PUT_AWAY_MAX + 1)]
    for notice in told.found[:PUT_AWAY_MAX]:
        told.notices.put_away(key_of(notice))
    at_the_bound = told.fresh()
    told.notices.put_away(key_of(told.found[-1]))

    assert ([f"notice {PUT_AWAY_MAX}"], ["notice 0"]) == (at_the_bound, told.fresh())

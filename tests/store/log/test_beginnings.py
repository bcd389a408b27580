"""What the marks and the runs of a stream say of one that was broken off."""

from __future__ import annotations

from typing import Any

import pytest

from core.store import Begun, Run, Store, cut_run, mark_name, unended

MARK = {"run": "now", "at": 5.0}


class Book:
    """The last runs, newest first, and the mark."""

    def __init__(self, mark: Any, *runs: Run) -> None:
        self._mark = mark
        self._runs = list(runs)

    def cursor(self, stream: str) -> Any:
        return self._mark if stream == mark_name("things") else None

    def runs(self, stream: str | None = None, *, limit: int) -> list[Run]:
        return self._runs[:limit]


def run(id: str, kind: str = "") -> Run:
    """A run that ended well, or with a problem of that kind."""
    problem = {"type": kind} if kind else None
    return Run(id=id, stream="things", started_at=1, ended_at=2, status="partial" if kind else "ok", problem=problem)


CUT, WELL, AWAY = run("now", "interrupted"), run("now"), run("now", "offline")
BEFORE_CUT, BEFORE = run("before", "interrupted"), run("before")


@pytest.mark.parametrize(
    ("book", "is_soon"),
    [
        (Book(None), False),
        (Book("strange"), False),
        (Book(MARK, WELL, BEFORE), False),
        (Book(MARK, AWAY, BEFORE), False),
        (Book(MARK), True),
        (Book(MARK, BEFORE), True),
        (Book(MARK, CUT), True),
        (Book(MARK, CUT, BEFORE), True),
        (Book(MARK, BEFORE_CUT), False),
        (Book(MARK, CUT, BEFORE_CUT), False),
        (Book(MARK, WELL, BEFORE_CUT), False),
    ],
)
def test_what_is_broken_off_cut_run_once(book: Book, is_soon: bool) -> None:
    """One early try; a stream that is broken off twice in a row waits for its turn."""
    assert ("now" if is_soon else None) == cut_run(book, "things")


def test_a_mark_without_a_run_is_one_that_never_ended() -> None:
    """With its run noted there is nothing to tell."""
    assert Begun("now", 5.0) == unended(Book(MARK, BEFORE), "things")
    assert unended(Book(MARK, WELL), "things") is None


def test_a_run_that_is_noted_leaves_no_mark(store: Store) -> None:
    """Else it would be taken for one that never ended once its row has gone, after ten thousand runs of others."""
    store.set_cursor(mark_name("things"), MARK)
    store.note_run(run("another"))
    before = unended(store, "things")
    store.note_run(run("now"))

    assert Begun("now", 5.0) == before
    assert store.cursor(mark_name("things")) is None

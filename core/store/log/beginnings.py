"""Where a run begins, it is marked in the store; what the marks and the runs together say of one that was broken off.

The mark stands among the cursors, under a name that no stream's cursor has: a run that its process could not note,
since it was killed or the power went, left its mark and no run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from core.model.errors import Interrupted
from core.store.values import Run

RUNS_LOOKED_AT = 2


class Begun(msgspec.Struct, frozen=True):
    """The run that began last: its id and when that was."""

    run: str
    at: float


class Book(Protocol):
    """Cursors and runs, as every store and its readers have them."""

    def cursor(self, stream: str) -> Any: ...
    def runs(self, stream: str | None = None, *, limit: int) -> list[Run]: ...


def mark_name(stream: str) -> str:
    """The name of the cursor that marks the beginning of a stream's runs."""
    return f"{stream}#run"


def unended(book: Book, stream: str) -> Begun | None:
    """The run of `stream` that began and was never noted; None where there is none."""
    return _unended(book.cursor(mark_name(stream)), book.runs(stream, limit=RUNS_LOOKED_AT))


def cut_run(book: Book, stream: str) -> str | None:
    """The last run of `stream`, by its id, if it was broken off; None where the one before it was broken off too.

    So it is the run that is to go on early, which is tried once.
    """
    runs = book.runs(stream, limit=RUNS_LOOKED_AT)
    lost = _unended(book.cursor(mark_name(stream)), runs)
    ids = [*([] if lost is None else [lost.run]), *(run.id for run in runs)]
    cut = [*([] if lost is None else [True]), *(_is_cut(run) for run in runs), False, False]
    return ids[0] if cut[0] and not cut[1] else None


def _is_cut(run: Run) -> bool:
    return (run.problem or {}).get("type") == Interrupted.code


def _unended(mark: Any, runs: Sequence[Run]) -> Begun | None:
    try:
        begun = msgspec.convert(mark, Begun)
    except msgspec.ValidationError:
        return None  # There is none, or it is nothing of ours.
    return None if any(run.id == begun.run for run in runs) else begun

"""Numbers over time for the one who writes the store: added, corrected, deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.store.log.ledger import Ledger
from core.store.log.writer import Submit
from core.store.numbers.samples import Sample, Sampled, prepare_samples
from core.store.numbers.series import Series, moment_of
from core.store.rows import Rows


class Recorder(Series):
    """A store's series for the one who writes it; what it does is durable when it returns."""

    def __init__(self, rows: Rows, submit: Submit) -> None:
        super().__init__(rows)
        self._submit = submit

    def append(self, samples: Sequence[Sample | tuple[str, float, float]], *, bulk: bool = True) -> Sampled:
        """Keep numbers (2000 at most), in any order; for a moment that has one already, the one that comes later.

        What is no finite number at a moment goes to quarantine, once for each point, and the others are kept.
        """
        recording = prepare_samples(samples)
        return self._submit(lambda ledger: ledger.record(recording), bulk=bulk, changes=len(samples))

    def delete(self, point: str, *, since: float, until: float, actor: str) -> int:
        """Delete what the point showed from `since` up to and without `until`; how many numbers that were.

        A long range goes in several transactions; each leaves a receipt of what it took.
        """
        start: float | None = moment_of(since)
        until, count = moment_of(until), 0
        while start is not None:
            gone, start = self._submit(_deletion(point, start, until, actor), bulk=True)
            count += gone
        return count


def _deletion(point: str, since: float, until: float, actor: str) -> Callable[[Ledger], tuple[int, float | None]]:
    return lambda ledger: ledger.delete_samples(point, since=since, until=until, actor=actor)

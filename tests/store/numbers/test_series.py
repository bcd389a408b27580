"""Numbers over time: kept in any order, corrected, deleted with a receipt, and rolled up as if folded from scratch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import fsum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.model.clock import ManualClock
from core.model.errors import BadRequest, FileDamaged
from core.model.fact import Change
from core.store import Reader, Store
from core.store.numbers.days import DAY_S, HOUR_S, MINUTE_S, MOMENT_MAX, Days
from core.store.numbers.samples import DELETE_MAX, SAMPLE_TYPE, SAMPLES_MAX, VALUE_MAX
from core.store.numbers.series import READ_MAX, Moment, Rollup, Width
from tests.store.conftest import ORIGIN, OpenStore

NOW = 1_700_000_000.0
ZONES = ("UTC", "Europe/Vienna", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo")
WIDTHS: tuple[Width, ...] = ("minute", "hour", "day")


@contextmanager
def opened(folder: Path, timezone: str | None = None) -> Iterator[Store]:
    """The store in `folder`, whose days are those of a zone."""
    with Store.open(folder, types={}, origin=ORIGIN, clock=ManualClock(), timezone=timezone) as store:
        yield store


def moments(store: Store | Reader, point: str = "heat") -> list[tuple[float, float]]:
    """All that the point showed."""
    return [(one.at, one.value) for one in store.series.samples(point, limit=READ_MAX).moments]


def rollups(store: Store | Reader, by: Width, point: str = "heat") -> list[Rollup]:
    """All rollups of the point."""
    return store.series.rollups(point, by=by, limit=READ_MAX).rollups


def naive(samples: dict[float, float], zone: str) -> dict[str, list[Rollup]]:
    """The rollups of these numbers, folded at once: minutes of samples, hours of minutes, days of hours."""
    days = Days(zone)
    spans: dict[str, Callable[[float], float]] = {
        "minute": lambda at: math.floor(at) // MINUTE_S * MINUTE_S,
        "hour": lambda at: days.hour(at).start,
        "day": lambda at: days.day(at).start,
    }
    found: dict[str, list[Rollup]] = {}
    parts = [Rollup(at, value, value, value, 1) for at, value in samples.items()]
    for by in WIDTHS:
        groups: dict[float, list[Rollup]] = {}
        for part in parts:
            groups.setdefault(spans[by](part.start), []).append(part)
        parts = found[by] = [
            Rollup(
                start,
                min(part.least for part in group),
                max(part.greatest for part in group),
                fsum(part.total for part in group),
                sum(part.count for part in group),
            )
            for start, group in sorted(groups.items())
        ]
    return found


def test_numbers_are_kept_by_point_and_moment(store: Store, folder: Path) -> None:
    """What came out of order is answered in order, to the writer and to a reader, each point by itself."""
    done = store.series.append(
        [("heat", NOW + 60, 21.5), ("wind", NOW, 3.0), ("heat", NOW, 20), ("heat", NOW - 9.5, 19)]
    )

    assert (4, 0) == (done.kept, done.quarantined)
    assert ["heat", "wind"] == store.series.points(limit=10)
    with Reader.open(folder, types={}) as reader:
        for side in (store, reader):
            assert [(NOW - 9.5, 19.0), (NOW, 20.0), (NOW + 60, 21.5)] == moments(side)
            assert [(NOW, 3.0)] == moments(side, "wind")


def test_later_written_number_of_a_moment_counts(store: Store) -> None:
    """A correction replaces the number, in the same batch or in another, and the rollups with it."""
    store.series.append([("heat", NOW, 1.0), ("heat", NOW + 1, 7.0), ("heat", NOW, 2.0)])
    assert [(NOW, 2.0), (NOW + 1, 7.0)] == moments(store)

    store.series.append([("heat", NOW + 1, 3.0)], bulk=False)

    assert [(NOW, 2.0), (NOW + 1, 3.0)] == moments(store)
    for by in WIDTHS:
        [found] = rollups(store, by)
        assert (2.0, 3.0, 5.0, 2, 2.5) == (found.least, found.greatest, found.total, found.count, found.average)


@pytest.mark.parametrize(
    "bad",
    [
        ("heat", NOW, math.nan), ("heat", NOW, math.inf), ("heat", NOW, -math.inf), ("heat", math.nan, 1.0),
        ("heat", math.inf, 1.0), ("heat", NOW, True), ("heat", NOW, "21"), ("heat", None, 1.0), ("", NOW, 1.0),
        ("a\nb", NOW, 1.0), (["heat"], NOW, 1.0), ("heat", NOW, 10**400), ("heat", NOW, VALUE_MAX * 1.01),
        ("heat", MOMENT_MAX * 1.01, 1.0), ("x" * 513, NOW, 1.0),
    ],
)  # fmt: skip
def test_no_number_goes_to_quarantine_and_the_others_on(store: Store, bad: Any) -> None:
    """Once for each point, however often it comes; a good number of the point clears it. INV-09."""
    for _ in range(2):
        done = store.series.append([("other", NOW, 1.0), bad])

    assert (1, 1) == (done.kept, done.quarantined)
    [kept] = store.quarantined(10)
    assert (SAMPLE_TYPE, "bad_record", 2) == (kept.type, kept.code, kept.times)
    assert [(NOW, 1.0)] == moments(store, "other")
    assert ["other"] == store.series.points(limit=10)
    if bad[0] == "heat":
        store.series.append([("heat", NOW, 2.0)])
        assert [] == store.quarantined(10)


def test_numbers_at_their_bounds_are_kept(store: Store) -> None:
    """The greatest numbers still have a sum, and the furthest moments a day."""
    store.series.append([("heat", at, value) for at in (-MOMENT_MAX, MOMENT_MAX) for value in (VALUE_MAX,)])
    store.series.append([("heat", NOW + n, -VALUE_MAX) for n in range(60)])

    assert 62 == len(moments(store))
    assert -60 * VALUE_MAX == min(found.total for found in rollups(store, "day"))


def test_batch_is_bounded(store: Store) -> None:
    """A batch at its bound is kept, one number more is refused whole."""
    batch = [("heat", NOW + n, 1.0) for n in range(SAMPLES_MAX)]
    assert SAMPLES_MAX == store.series.append(batch).kept

    with pytest.raises(BadRequest, match="allowed are"):
        store.series.append([*batch, ("heat", NOW, 2.0)])


def test_numbers_facts_and_cursor_are_one_commit(open_store: OpenStore) -> None:
    """They are there together; what is no number counts as set aside."""
    store = open_store(types={})
    done = store.commit(
        [Change(type="note", key="n", value={"a": 1})],
        cursor=("readings", 7),
        samples=[("heat", NOW, 1.0), ("wind", NOW, math.nan)],  # type: ignore[list-item]
    )

    assert (1, 1) == (done.new, done.quarantined)
    assert (7, [(NOW, 1.0)]) == (store.cursor("readings"), moments(store))


def test_range_has_its_beginning_and_not_its_end(store: Store) -> None:
    """Ranges that touch each other share no number."""
    store.series.append([("heat", NOW + n, float(n)) for n in range(10)])

    found = store.series.samples("heat", since=NOW + 2, until=NOW + 5, limit=10)

    assert [2.0, 3.0, 4.0] == [one.value for one in found.moments]
    assert None is found.next


def test_pages_follow_each_other_without_gap(store: Store) -> None:
    """The `next` of one page is the `since` of the following, of numbers and of rollups."""
    store.series.append([("heat", NOW + 3600 * n, float(n)) for n in range(10)])
    values: list[float] = []
    starts: list[float] = []

    since: float | None = -MOMENT_MAX
    while since is not None:
        page = store.series.samples("heat", since=since, limit=3)
        values += [one.value for one in page.moments]
        since = page.next
    since = -MOMENT_MAX
    while since is not None:
        hours = store.series.rollups("heat", by="hour", since=since, limit=3)
        starts += [one.start for one in hours.rollups]
        since = hours.next

    assert [float(n) for n in range(10)] == values
    assert [math.floor(NOW / HOUR_S) * HOUR_S + HOUR_S * n for n in range(10)] == starts


def test_last_is_the_number_at_a_moment_or_before_it(store: Store) -> None:
    """What a point showed at any moment is what it showed last."""
    store.series.append([("heat", NOW, 1.0), ("heat", NOW + 10, 2.0)])

    assert Moment(NOW + 10, 2.0) == store.series.last("heat")
    assert Moment(NOW, 1.0) == store.series.last("heat", at=NOW + 9.9)
    assert Moment(NOW, 1.0) == store.series.last("heat", at=NOW)
    assert [None, None] == [store.series.last("heat", at=NOW - 0.1), store.series.last("wind")]


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.series.samples("heat", limit=0),
        lambda store: store.series.samples("heat", limit=READ_MAX + 1),
        lambda store: store.series.samples("heat", since=math.nan, limit=1),
        lambda store: store.series.rollups("heat", by="week", limit=1),
        lambda store: store.series.last("heat", at=True),
    ],
)
def test_question_that_makes_no_sense_is_refused(store: Store, ask: Callable[[Store], object]) -> None:
    """The caller's fault is told as such."""
    with pytest.raises(BadRequest):
        ask(store)


def test_deleting_a_range_leaves_a_receipt(store: Store, clock: ManualClock) -> None:
    """It says what went and how many stay, and the rollups are those of what stays."""
    store.series.append([("heat", NOW + 30 * n, float(n)) for n in range(100)])

    assert 40 == store.series.delete("heat", since=NOW + 300, until=NOW + 1500, actor="owner")

    kept = {NOW + 30 * n: float(n) for n in range(100) if not 10 <= n < 50}
    assert sorted(kept.items()) == moments(store)
    assert naive(kept, "UTC") == {by: rollups(store, by) for by in WIDTHS}
    [receipt] = store.receipts(10)
    assert ("delete_samples", "owner", clock.now()) == (receipt.verb, receipt.actor, receipt.at)
    said = {name: receipt.document[name] for name in ("point", "first", "last", "count", "stays")}
    assert {"point": "heat", "first": NOW + 300, "last": NOW + 1470, "count": 40, "stays": 60} == said


def test_deleting_nothing_leaves_no_receipt(store: Store) -> None:
    """Where nothing went there is nothing to tell."""
    store.series.append([("heat", NOW, 1.0)])

    assert 0 == store.series.delete("wind", since=0, until=MOMENT_MAX, actor="owner")
    assert 0 == store.series.delete("heat", since=NOW + 1, until=MOMENT_MAX, actor="owner")
    assert [] == store.receipts(10)


def test_long_range_goes_in_parts_with_a_receipt_each(store: Store) -> None:
    """The writer is let go between them; together they say what went."""
    count = DELETE_MAX + 10
    for start in range(0, count, SAMPLES_MAX):
        store.series.append([("heat", NOW + n, 1.0) for n in range(start, min(start + SAMPLES_MAX, count))])

    assert count == store.series.delete("heat", since=0.0, until=MOMENT_MAX, actor="owner")

    assert [10, DELETE_MAX] == [receipt.document["count"] for receipt in store.receipts(10)]
    assert ([], [], []) == (moments(store), rollups(store, "minute"), rollups(store, "day"))


def test_changed_zone_folds_hours_and_days_anew(folder: Path) -> None:
    """The days are the owner's; whoever opens without a zone leaves them as they are."""
    samples = {NOW + 1800 * n + 0.5: float(n) for n in range(200)}
    with opened(folder, "Europe/Vienna") as store:
        store.series.append([("heat", *one) for one in samples.items()])
        assert naive(samples, "Europe/Vienna")["day"] == rollups(store, "day")

    with opened(folder, "Asia/Kathmandu") as store:
        assert naive(samples, "Asia/Kathmandu") == {by: rollups(store, by) for by in WIDTHS}

    with opened(folder) as store:
        assert "Asia/Kathmandu" == store.series.timezone()
        assert naive(samples, "Asia/Kathmandu") == {by: rollups(store, by) for by in WIDTHS}


def test_new_rules_of_a_zone_fold_hours_and_days_anew(folder: Path) -> None:
    """A country that changes its clocks moves days: what was folded by other rules is folded again."""
    with opened(folder, "Europe/Vienna") as store:
        store.series.append([("heat", NOW, 1.0)])
    db = apsw.Connection(str(folder / "store.db"))
    db.execute("UPDATE meta SET value = 'other' WHERE name = 'timezone_rules'")
    db.execute("UPDATE rollup SET start = start + 60 WHERE width > 60")
    db.close()

    with opened(folder) as store:
        assert naive({NOW: 1.0}, "Europe/Vienna") == {by: rollups(store, by) for by in WIDTHS}


def test_day_of_a_changed_clock_has_all_its_hours(folder: Path) -> None:
    """A number a minute over the last days of October: 24, 25, 24 hours."""
    start = int(Days("Europe/Vienna").day(1_792_800_000.0 + 3 * DAY_S).start)
    sunday = Days("Europe/Vienna").day(1_792_886_400.0).start  # 25 October 2026.
    with opened(folder, "Europe/Vienna") as store:
        for hour in range(-24, 49):
            at = sunday + hour * HOUR_S
            store.series.append([("heat", float(at + 60 * n), 1.0) for n in range(60)])
        found = {one.start: one.count for one in rollups(store, "day")}

    assert start > sunday
    assert [24 * 60, 25 * 60, 24 * 60] == [found[day] for day in sorted(found)]


def test_damaged_number_is_told(open_store: OpenStore, folder: Path) -> None:
    """What no store of ours wrote is never answered as if it were a number."""
    open_store().close()
    db = apsw.Connection(str(folder / "store.db"))
    db.execute("PRAGMA writable_schema = ON")
    db.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT, ', '') WHERE name = 'sample'")
    db.close()
    db = apsw.Connection(str(folder / "store.db"))
    db.execute("INSERT INTO point (name) VALUES ('heat')")
    db.execute("INSERT INTO sample (point, at, value) VALUES (1, 1.0, 'warm')")
    db.close()

    with Reader.open(folder, types={}) as reader, pytest.raises(FileDamaged):
        reader.series.last("heat")


NUMBERS = st.floats(-VALUE_MAX, VALUE_MAX) | st.integers(-(2**60), 2**60) | st.floats(-1, 1)
# Close together, and round the changes of clocks, so that spans are shared and cut.
MOMENTS = st.builds(
    lambda base, ahead: base + ahead,
    st.sampled_from([0.0, 1_774_746_000.0, 1_792_890_000.0, 1_775_314_800.0, 1_541_300_400.0]),
    st.floats(-4 * HOUR_S, 4 * HOUR_S) | st.integers(-300, 300).map(lambda n: n * 600.0),
)
BATCH = st.lists(st.tuples(st.sampled_from(["heat", "wind"]), MOMENTS, NUMBERS), min_size=1, max_size=30)


class SeriesMachine(RuleBasedStateMachine):
    """A store beside a dict: whatever is written in whatever order, rollups are those of folding all at once."""

    def __init__(self) -> None:
        super().__init__()
        self._place = TemporaryDirectory()
        self.zone = "UTC"
        self.known: dict[str, dict[float, float]] = {"heat": {}, "wind": {}}
        self._open()

    def _open(self) -> None:
        folder = Path(self._place.name) / "notes"
        self.store = Store.open(folder, types={}, origin=ORIGIN, clock=ManualClock(), timezone=self.zone)

    @rule(batch=BATCH)
    def append(self, batch: list[tuple[str, float, float]]) -> None:
        """In any order, moments known before included."""
        self.store.series.append(batch)
        for point, at, value in batch:
            self.known[point][at] = float(value)

    @rule(point=st.sampled_from(["heat", "wind"]), at=MOMENTS, length=st.floats(0, 6 * HOUR_S))
    def delete(self, point: str, at: float, length: float) -> None:
        """A range, somewhere."""
        gone = [moment for moment in self.known[point] if at <= moment < at + length]
        assert len(gone) == self.store.series.delete(point, since=at, until=at + length, actor="owner")
        for moment in gone:
            del self.known[point][moment]

    @precondition(lambda self: any(self.known.values()))
    @rule(zone=st.sampled_from(ZONES))
    def move(self, zone: str) -> None:
        """The owner lives elsewhere from now on."""
        self.store.close()
        self.zone = zone
        self._open()

    @rule()
    def rebuild(self) -> None:
        """Everything folded again is as it was."""
        before = self._derived()
        self.store.rebuild()
        assert before == self._derived()

    @invariant()
    def agrees(self) -> None:
        """Numbers and rollups, to the last bit."""
        for point, samples in self.known.items():
            assert sorted(samples.items()) == moments(self.store, point)
            assert naive(samples, self.zone) == {by: rollups(self.store, by, point) for by in WIDTHS}

    def _derived(self) -> list[Any]:
        return self.store.rows("SELECT point, width, start, least, greatest, total, count FROM rollup ORDER BY 1, 2, 3")

    def teardown(self) -> None:
        """Leave nothing."""
        self.store.close()
        self._place.cleanup()


TestSeriesMachine = SeriesMachine.TestCase
TestSeriesMachine.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)


@given(st.lists(st.tuples(st.integers(0, 200), NUMBERS), min_size=1, max_size=60), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_order_in_which_numbers_come_makes_no_difference(pairs: list[tuple[int, float]], dice: Any) -> None:
    """One batch in order, and one by one in any order, end in the same rollups, sums included."""
    samples = {NOW + 7.0 * at: value for at, value in pairs}
    rows = [("heat", at, value) for at, value in samples.items()]
    with TemporaryDirectory() as place:
        with opened(Path(place) / "one") as one:
            one.series.append(sorted(rows))
            expected = {by: rollups(one, by) for by in WIDTHS}
        dice.shuffle(rows)
        with opened(Path(place) / "other") as other:
            for start in range(0, len(rows), 3):
                other.series.append(rows[start : start + 3])
            assert expected == {by: rollups(other, by) for by in WIDTHS}

"""One run of one stream over a real store: batches, limits, and what is left when it ends."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec
import pytest

from connectors.sdk import Cursor, Delete, Put, Unfit, stream
from connectors.sdk.alone import NoCore
from connectors.sdk.context import DISK_FREE_BYTES_MIN, Service
from connectors.sdk.messages import Message, Note
from connectors.sdk.opening import Opened
from connectors.sdk.outcome import Ended
from connectors.sdk.pull import (
    BATCH_AGE_MAX_S,
    BATCH_ROWS_MAX,
    NOTES_MAX,
    SAMPLES_MAX,
    Pull,
    Report,
    check_room,
    error_of,
)  # fmt: skip
from core.model.clock import ManualClock, SystemClock
from core.model.errors import BadRecord, Broken, Offline, Retry, StorageFull
from core.model.manifest import parse_manifest
from core.store import Moment, Origin, Sample, Store

MANIFEST = 'name = "m"\ntitle = "M"\n[types.thing]\n[streams.thing]\n'
Rows = Callable[[], Iterator[Message]]


class Bench(NamedTuple):
    """A service without a process."""

    service: Service
    store: Store
    clock: ManualClock

    def pull(self, rows: Rows) -> tuple[Ended, Pull]:
        """Run a stream of these rows."""

        @stream("thing")
        def declared(context: Any, cursor: Any) -> Iterator[Message]:
            yield from rows()

        spec = self.service.manifest.streams["thing"]
        report = Report(progress=lambda done, total: None, alive=lambda: None)
        pull = Pull(self.service, spec=spec, load=lambda: declared, report=report)
        return pull.run(), pull


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A service over a store in a scratch folder."""
    manifest = parse_manifest(MANIFEST, str(tmp_path))
    clock = ManualClock()
    with Store.open(tmp_path / "m", types=manifest.types, origin=Origin(log="d/m", epoch=1), clock=clock) as store:
        service = Service(
            manifest=manifest, service_id="m", base="/Me/m/", settings={}, folder=tmp_path / "m", stores=Opened(store),
            core=NoCore(SystemClock()), clock=clock,
        )  # fmt: skip
        yield Bench(service, store, clock)


def _row(n: int) -> dict[str, Any]:
    return {"id": n}


@pytest.mark.parametrize(
    ("count", "seen"), [(BATCH_ROWS_MAX - 1, 0), (BATCH_ROWS_MAX, BATCH_ROWS_MAX), (BATCH_ROWS_MAX + 1, BATCH_ROWS_MAX)]
)
def test_a_batch_is_committed_at_its_size(bench: Bench, count: int, seen: int) -> None:
    """Just under nothing is on disk yet, at the bound all of it is."""
    heads = []

    def rows() -> Iterator[Message]:
        for n in range(count):
            yield _row(n)
        heads.append(bench.store.head())

    ended, pull = bench.pull(rows)

    assert ([seen], count, None) == (heads, pull.tally.new, ended.error)


def test_a_batch_does_not_grow_old(bench: Bench) -> None:
    """A slow source's rows are kept after two seconds, however few they are."""
    heads = []

    def rows() -> Iterator[Message]:
        yield _row(1)
        bench.clock.advance(BATCH_AGE_MAX_S + 0.1)
        yield _row(2)
        heads.append(bench.store.head())

    bench.pull(rows)

    assert [2] == heads


def test_a_cursor_without_news_writes_nothing(bench: Bench) -> None:
    """An unchanged source costs no flush: the same cursor again is not committed."""
    bench.pull(lambda: iter([Cursor({"at": 1})]))
    opened = bench.store.path.with_name("store.db-wal").stat().st_size
    bench.pull(lambda: iter([Cursor({"at": 1}), Cursor({"at": 1})]))

    assert opened == bench.store.path.with_name("store.db-wal").stat().st_size


def test_rows_and_cursor_go_together(bench: Bench) -> None:
    """The cursor is there when its rows are, parts each under their own name. INV-02."""
    seen = []

    def rows() -> Iterator[Message]:
        yield _row(1)
        yield Cursor("a", part="x")
        seen.append((bench.store.head(), bench.store.cursor("thing/x"), bench.store.cursor("thing")))
        yield _row(2)
        yield Cursor("b")
        seen.append((bench.store.head(), bench.store.cursor("thing/x"), bench.store.cursor("thing")))

    bench.pull(rows)

    assert [(1, "a", None), (2, "a", "b")] == seen


def test_a_stop_is_seen_between_rows(bench: Bench) -> None:
    """What was yielded is kept, the rest waits for the next run, and the function is closed."""
    closed = []

    def rows() -> Iterator[Message]:
        try:
            for n in range(100):
                if n == 10:
                    bench.service.stopping.set()
                yield _row(n)
        finally:
            closed.append(True)

    ended, pull = bench.pull(rows)

    assert (True, 11, [True]) == (ended.stopped, pull.tally.new, closed)


def test_a_full_disk_ends_the_run_before_it_is_full(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncing leaves a gigabyte to the owner: just above it goes on, just below it does not."""
    free = [DISK_FREE_BYTES_MIN]
    usage = shutil.disk_usage(bench.service.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free[0]))
    check_room(bench.service.folder, DISK_FREE_BYTES_MIN)
    good, _ = bench.pull(lambda: iter([_row(1)]))

    def rows() -> Iterator[Message]:
        yield _row(2)
        yield Cursor(2)
        free[0] -= 1
        yield _row(3)
        yield Cursor(3)

    ended, pull = bench.pull(rows)

    assert good.error is None
    assert (StorageFull, 1, 2) == (type(ended.error), pull.tally.new, bench.store.cursor("thing"))
    with pytest.raises(StorageFull, match="MiB"):
        check_room(bench.service.folder, DISK_FREE_BYTES_MIN)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (OSError(errno.ENOSPC, "full"), StorageFull),
        (apsw.FullError("full"), StorageFull),
        (OSError(errno.EIO, "broken"), Broken),
        (BadRecord("raised"), Broken),
        (Offline("away"), Offline),
        (ValueError("x"), Broken),
        (RecursionError(), Broken),
    ],
)
def test_what_is_raised_is_grouped_by_its_remedy(raised: Exception, kind: type[Exception]) -> None:
    """Ours stay what they are; the disk's, the network's and the author's become ours."""
    assert kind is type(error_of(raised))


def test_a_fault_of_the_author_is_told_with_its_line(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The class and the innermost line in the connector's folder; the text, which may hold a secret, in the log."""
    here = Path(__file__)
    bench.service.manifest = msgspec.structs.replace(bench.service.manifest, folder=str(here.parent))

    def rows() -> Iterator[Message]:
        yield _row(1)
        Path("/nowhere").relative_to("secret")

    ended, _ = bench.pull(rows)
    line = rows.__code__.co_firstlineno + 2

    assert f"an unexpected ValueError in test_pull.py line {line} stopped the run" == str(ended.error)
    assert "secret" in caplog.text
    assert "Traceback" in caplog.text


def test_a_function_that_yields_nothing_usable_fails(bench: Bench) -> None:
    """Not a generator, or a value that is no row: the author reads what it was."""
    ended, _ = bench.pull(lambda: None)  # type: ignore[arg-type, return-value]
    assert isinstance(ended.error, Broken)

    ended, _ = bench.pull(lambda: iter([3]))  # type: ignore[list-item]
    assert "int" in str(ended.error)


def test_many_kinds_of_rows_count_rightly(bench: Bench) -> None:
    """New, same, updated, deleted, set aside."""
    bench.pull(lambda: iter([_row(1), _row(2), _row(3)]))
    _, pull = bench.pull(
        lambda: iter(
            [
                _row(1),
                Put(type="thing", value={"id": 2, "more": 1}),
                Delete(type="thing", key=3),
                Delete(type="thing", key=99),
                Put(type="thing", value={"no": "key"}),
                BadRecord("yielded"),
                _row(4),
            ]
        )
    )
    tally = pull.tally

    assert (1, 1, 1, 2) == (tally.new, tally.updated, tally.deleted, tally.quarantined)


def test_what_is_set_aside_is_in_quarantine(bench: Bench) -> None:
    """With the reason, in the transaction of the cursor after it; by its key, or by the reason where it has none."""

    def rows() -> Iterator[Message]:
        yield BadRecord("half a record")
        yield Unfit(type="thing", key=7, reason="too odd", value={"odd": True})
        yield Cursor(1)
        raise Offline("away")

    ended, pull = bench.pull(rows)
    found = {one.reason: one for one in bench.store.quarantined(10)}
    bench.pull(lambda: iter([_row(7), BadRecord("half a record")]))

    assert (2, 2, 1) == (ended.quarantined, pull.tally.quarantined, bench.store.cursor("thing"))
    assert ("thing", "7", '{"odd": true}') == (found["too odd"].type, found["too odd"].key, found["too odd"].sample)
    assert [("half a record", 2)] == [(one.reason, one.times) for one in bench.store.quarantined(10)]


def test_what_is_set_aside_counts_towards_a_batch(bench: Bench) -> None:
    """However many there are, no commit is refused."""
    count = BATCH_ROWS_MAX + 2
    _, pull = bench.pull(lambda: (BadRecord(f"bad {n}") if n % 2 else _row(n) for n in range(2 * count)))

    assert (count, count) == (pull.tally.new, pull.tally.quarantined)


def test_errors_of_requests_are_the_sources(bench: Bench) -> None:
    """A page of HTML where JSON was expected is tried again."""
    requests = pytest.importorskip("requests")

    assert isinstance(error_of(requests.exceptions.JSONDecodeError("x", "doc", 0)), Retry)
    assert isinstance(error_of(requests.exceptions.ChunkedEncodingError()), Retry)
    assert isinstance(error_of(requests.ConnectionError()), Offline)


@pytest.mark.parametrize("data", ["bad data from the source", b"x", 7, None, [1]])
def test_string_as_data(bench: Bench, data: Any) -> None:
    """What is no row is not stored as one: the run fails with what it was, and resumes where the run before it did."""
    bench.pull(lambda: iter([Put(type="thing", key="1", value={"n": 1}), Cursor("before")]))
    before = bench.store.head()
    ended, _ = bench.pull(lambda: iter([data, Cursor("after")]))

    assert isinstance(ended.error, Broken)
    assert f"a {type(data).__name__}," in ended.error.detail
    assert (before, "before") == (bench.store.head(), bench.store.cursor("thing"))


def test_numbers_come_with_their_records_and_cursor(bench: Bench) -> None:
    """They are on disk when the line after the cursor runs; what is no number is set aside and counted."""
    seen: list[object] = []

    def rows() -> Iterator[Message]:
        yield _row(1)
        yield Sample("heat", 10.0, 21.5)
        yield Sample("heat", 5.0, float("nan"))
        yield Cursor(7)
        seen.extend([bench.store.series.last("heat"), bench.store.head()])
        yield Sample("wind", 5.0, 3.0)

    ended, pull = bench.pull(rows)

    assert [Moment(10.0, 21.5), 1] == seen
    assert ["heat", "wind"] == bench.store.series.points(limit=10)
    assert (1, 1, None) == (pull.tally.new, pull.tally.quarantined, ended.error)


def test_a_batch_of_numbers_is_bounded(bench: Bench) -> None:
    """At the bound all of them are on disk."""
    counts = []

    def rows() -> Iterator[Message]:
        for n in range(SAMPLES_MAX + 1):
            if n == SAMPLES_MAX - 1:
                counts.append(len(bench.store.series.points(limit=1)))
            yield Sample("heat", float(n), 1.0)
        counts.append(len(bench.store.series.samples("heat", limit=10_000).moments))

    bench.pull(rows)

    assert [0, SAMPLES_MAX] == counts


def _timed(bench: Bench) -> None:
    """Let the type declare where it has its time."""
    manifest = parse_manifest('name = "m"\ntitle = "M"\n[types.thing]\ntime = "when"\n[streams.thing]\n', "/m")
    bench.service.manifest = manifest


def test_a_time_that_is_no_moment_is_counted_and_noted(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Once for the run, with the first key; the records are kept, and what has no time at all is no fault."""
    _timed(bench)
    said = ["not a date", "2026-11-20", None, 1_795_162_969, "", [1], "tomorrow"]
    with caplog.at_level("WARNING"):
        ended, pull = bench.pull(lambda: iter([{"id": n, "when": when} for n, when in enumerate(said)]))

    notes = [record.getMessage() for record in caplog.records if "note stream=" in record.getMessage()]
    assert (None, len(said), 0) == (ended.error, pull.tally.new, pull.tally.quarantined)
    assert 1 == len(notes)
    assert "4 records have no moment where one was declared, such as thing '0' at 'when'" in notes[0]


def test_times_are_noted_of_a_run_that_ends_early_too(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever ended it, after whatever else it noted; where every time is one, nothing is said."""
    _timed(bench)

    def rows() -> Iterator[Message]:
        for n in range(NOTES_MAX + 1):
            yield Note(f"n{n}")
        yield {"id": 7, "when": "soon"}
        raise Offline("gone")

    with caplog.at_level("WARNING"):
        ended, _ = bench.pull(rows)
        bench.pull(lambda: iter([{"id": 1, "when": "2026-11-20T09:22:49Z"}, Delete(type="thing", key="7")]))

    assert isinstance(ended.error, Offline)
    notes = [one.getMessage() for one in caplog.records if "no moment" in one.getMessage()]
    assert ["note", "diary:"] == [note.split()[0] for note in notes]
    assert all("1 record has no moment" in note for note in notes)

"""What a commit does: facts, their current state, cursors, quarantine and runs, and that they hold together."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import apsw
import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest, Broken, FileDamaged, FolderUnusable, Retry
from core.model.fact import Change, Fact, Record, canonical_json
from core.model.manifest import TypeSpec
from core.store import Aside, Commit, Origin, Run, Store
from core.store.log.prepare import prepare_all
from core.store.log.quarantine import Quarantine
from core.store.values import BATCH_CHANGES_MAX
from tests.store.conftest import ORIGIN, TYPES, OpenStore


def put(key: str, **fields: Any) -> Change:
    """A note with these fields in its value."""
    return Change(type="note", key=key, value={"id": key, **fields})


def gone(key: str) -> Change:
    """The note's deletion."""
    return Change(type="note", key=key, action="delete")


def rows(store: Store, statement: str) -> list[tuple[Any, ...]]:
    """Rows straight from the file, by a connection of the test's own."""
    db = apsw.Connection(str(store.path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return db.execute(statement).fetchall()
    finally:
        db.close()


def state(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is derived from the facts."""
    return {
        "current": rows(store, "SELECT type, key, seq, deleted, change_hash, at FROM current ORDER BY type, key"),
        "tally": rows(store, "SELECT type, live FROM tally WHERE live > 0 ORDER BY type"),
    }


def test_new_updated_same_and_deleted_are_told_apart(store: Store) -> None:
    """INV-12: each change does one of four things, and the head counts facts alone."""
    assert Commit(new=2, head=2) == store.commit([put("a", n=1), put("b", n=1)])
    assert Commit(updated=1, same=1, head=3) == store.commit([put("a", n=2), put("b", n=1)])
    assert Commit(deleted=1, same=1, head=4) == store.commit([gone("a"), gone("never")])
    assert Commit(same=1, head=4) == store.commit([gone("a")])
    assert Commit(new=1, head=5) == store.commit([put("a", n=2)])


def test_fact_carries_every_column(store: Store, clock: ManualClock) -> None:
    """A fact read back says all that is known of it."""
    store.commit([put("a", n=1)])
    clock.advance(10)
    change = Change(
        type="note",
        key="a",
        value={"id": "a", "written": "1970-01-02", "n": 1.0},
        common={"link": "x"},
        order_key=7,
        derivation={"by": "rule"},
    )
    store.commit([change], producer={"connector": "notes"})

    first, second = store.facts(0, limit=10)

    expected = Fact(
        seq=2,
        id=second.id,
        type="note",
        key="a",
        action="put",
        value=change.value,
        common={"link": "x"},
        value_hash=hashlib.sha256(canonical_json(change.value)).hexdigest(),
        causation=first.id,
        transaction_time=1_700_000_010.0,
        valid_time=86400.0,
        schema_version=1,
        producer={"connector": "notes"},
        derivation={"by": "rule"},
        origin=ORIGIN.log,
        origin_epoch=1,
        origin_seq=2,
        known_at=1_700_000_010.0,
        rev=(1, 7),
        recorded_at=1_700_000_010.0,
    )
    assert expected == second
    assert (None, (0, 1_700_000_000_000)) == (first.causation, first.rev)
    assert first.id < second.id
    assert "7" == second.id[14]


def test_a_record_s_first_fact_carries_every_column(store: Store) -> None:
    """What is stored of a record that nothing was known of is all that was said of it."""
    change = Change(
        type="note",
        key="a",
        value={"id": "a", "written": "1970-01-02", "n": 1.0},
        common={"link": "x"},
        valid_time=5,
        order_key=7,
        derivation={"by": "rule"},
    )
    store.commit([change], producer={"connector": "notes"})

    (found,) = store.facts(0, limit=10)

    assert (change.value, {"link": "x"}) == (found.value, found.common)
    assert hashlib.sha256(canonical_json(change.value)).hexdigest() == found.value_hash
    assert (None, 5.0, (0, 7)) == (found.causation, found.valid_time, found.rev)
    assert ({"connector": "notes"}, {"by": "rule"}) == (found.producer, found.derivation)
    assert (1, 1, 1, 1_700_000_000.0) == (found.seq, found.origin_seq, found.schema_version, found.known_at)
    assert [(1, "a", 1, 0, 86400.0)] == rows(store, "SELECT type, key, seq, deleted, at FROM current")


@pytest.mark.parametrize("written", [0, -0.0, 5, 86400.5])
def test_a_time_however_it_is_written_is_what_the_row_s_digest_is_of(store: Store, written: float) -> None:
    """SQLite gives a whole number back as a float, and zero without a sign: no such fact reads as damaged."""
    store.commit([put("a", n=1, written=written), put("b", n=1)])
    store.commit([put("a", n=2, written=written)])
    store.commit([Change(type="note", key="b", action="delete", valid_time=written)])

    assert [written, None, written, written] == [fact.valid_time for fact in store.facts(0, limit=10)]


def test_the_ids_of_a_commit_ascend(store: Store) -> None:
    """Facts of one commit have ids in the order of the log, so that the index over them grows at its end."""
    store.commit([put(str(n)) for n in range(500)])
    ids = [fact.id for fact in store.facts(0, limit=500)]

    assert 500 == len(set(ids))
    assert sorted(ids) == ids


def test_ids_beyond_2_53(store: Store) -> None:
    """A value is kept as the source wrote it: big integers, floats, letters and the order of names."""
    value = {"z": 1.0, "a": 10**30, "m": [1e300, -0.0, "é\U0001f600\u2028"], "n": None, "id": 2**53 + 1}
    store.commit([Change(type="note", key="a", value=value)])

    found = store.facts(0, limit=1)[0].value

    assert repr(value) == repr(found)


def test_strip_keeps_raw(store: Store) -> None:
    """Volatile fields are left out of the change test and kept in the value that is stored."""
    assert 1 == store.commit([put("a", views=1, title="A")]).new
    assert 1 == store.commit([put("a", views=2, title="A")]).same
    assert 1 == store.commit([put("a", views=3, title="B")]).updated

    assert [1, 3] == [fact.value["views"] for fact in store.facts(0, limit=10)]


def test_newly_declared_volatile_field_makes_no_facts(open_store: OpenStore) -> None:
    """A manifest that learns of a volatile field does not turn every record into an update."""
    store = open_store(types={"note": TypeSpec(name="note")})
    store.commit([put("a", views=1, title="A"), put("b", views=1, title="B")])
    store.close()
    store = open_store(types=TYPES)

    assert Commit(same=1, updated=1, head=3) == store.commit([put("a", views=2, title="A"), put("b", title="C")])
    before = state(store)
    store.rebuild()
    assert before == state(store)


def test_key_twice_in_one_batch_makes_two_versions(store: Store) -> None:
    """Changes count in their order, within a batch as between batches."""
    done = store.commit([put("a", n=1), put("a", n=2), put("a", n=2), gone("a"), put("a", n=3)])

    chain = store.facts(0, limit=10)
    assert Commit(new=2, updated=1, same=1, deleted=1, head=4) == done
    assert [None, *[fact.id for fact in chain[:-1]]] == [fact.causation for fact in chain]
    assert sorted(fact.rev for fact in chain) == [fact.rev for fact in chain]
    assert {"note": 1} == store.counts()


def test_archive_is_readable(store: Store) -> None:
    """A deleted record is gone, its history stays: the version before the tombstone is read, and can be put again."""
    store.commit([put("a", title="A")])
    store.commit([gone("a")])

    assert store.record("note", "a") is None
    assert [] == store.records("note", limit=10).records
    assert {} == store.counts()
    assert [("delete", {}), ("put", {"id": "a", "title": "A"})] == [
        (fact.action, fact.value) for fact in store.history("note", "a", limit=10).facts
    ]
    store.commit([put("a", title="A")])
    assert {"note": 1} == store.counts()
    found = store.record("note", "a")
    assert found is not None
    assert (3, {"id": "a", "title": "A"}) == (found.seq, found.value)


def test_record_shows_declared_time_and_common_fields(store: Store) -> None:
    """`at` and the shared fields follow the type's declaration; code's own fields lie above."""
    value = {"id": "a", "title": "A", "by": {"name": "Ada"}, "written": "1970-01-02T00:00:00Z"}
    store.commit([Change(type="note", key="a", value=value, common={"link": "x", "author": "Lovelace"})])

    expected = Record(
        type="note",
        key="a",
        value=value,
        common={"title": "A", "author": "Lovelace", "at": "1970-01-02T00:00:00Z", "link": "x"},
        at=86400.0,
        seq=1,
    )
    assert expected == store.record("note", "a")


def test_undeclared_type_is_stored_and_readable(store: Store) -> None:
    """What the manifest does not name has no title and no time of its own, and is kept all the same."""
    store.commit([Change(type="surprise", key="a", value={"written": "1970-01-02"})])

    found = store.record("surprise", "a")
    assert found is not None
    assert ({}, 1_700_000_000.0) == (found.common, found.at)


def test_bad_records_go_to_quarantine_and_the_others_on(store: Store, clock: ManualClock) -> None:
    """A record that cannot be stored is kept with its reason, and counted. INV-09."""
    done = store.commit([put("a"), put("b", n=float("nan")), put("c")])
    clock.advance(5)
    store.commit([put("b", n=float("nan"))])

    assert Commit(new=2, quarantined=1, head=2) == done
    [kept] = store.quarantined(10)
    assert ("note", "b", "bad_record", 2) == (kept.type, kept.key, kept.code, kept.times)
    assert (1_700_000_000.0, 1_700_000_005.0) == (kept.first_seen, kept.last_seen)
    assert "nan" in kept.reason
    assert '"id": "b"' in kept.sample


def test_good_version_clears_the_quarantine(open_store: OpenStore) -> None:
    """The source sent the record again and it could be stored: also after a restart, also when it was known so."""
    store = open_store()
    store.commit([put("a"), put("b", n=float("nan"))])
    store.commit([put("a", n=float("nan")), put("c", n=float("nan"))])
    store.close()
    store = open_store()

    assert {"a", "b", "c"} == {kept.key for kept in store.quarantined(10)}
    store.commit([put("a"), put("b"), gone("c")])
    assert [] == store.quarantined(10)


def test_quarantine_is_bounded(store: Store) -> None:
    """A source that sends nothing but bad records fills no disk: the longest kept are dropped."""
    db = apsw.Connection(str(store.path))
    quarantine = Quarantine(db, rows_max=3)
    _, refused = _refused(5)

    quarantine.put(refused[:3], now=1.0, head=0)
    assert 3 == len(store.quarantined(10))
    quarantine.put(refused[3:], now=2.0, head=0)

    assert ["bad-4", "bad-3", "bad-2"] == [kept.key for kept in store.quarantined(10)]
    db.close()


def test_a_quarantine_of_any_size_is_never_read_whole(store: Store) -> None:
    """Opening reads one row of it, and a commit those that it names; the good ones are found among the bad."""
    db = apsw.Connection(str(store.path))
    _, refused = _refused(2000)
    Quarantine(db).put(refused, now=1.0, head=0)
    read: list[Any] = []
    db.trace_v2(apsw.SQLITE_TRACE_ROW, read.append)
    quarantine = Quarantine(db)
    quarantine.clear([("note", "bad-7"), ("note", "good"), ("task", "bad-8"), ("note", "bad-9")])
    db.trace_v2(0, None)
    assert len(read) <= 8

    kept = {key for (key,) in db.execute("SELECT key FROM quarantine")}
    assert {f"bad-{number}" for number in range(2000) if number not in (7, 9)} == kept
    quarantine.clear(("note", key) for key in kept)
    assert [] == store.quarantined(10)
    db.close()


def _refused(count: int) -> tuple[Any, Any]:
    return prepare_all([put(f"bad-{number}", n=object()) for number in range(count)], TYPES)


def test_records_and_cursor_commit_together(store: Store) -> None:
    """The cursor is what was committed with the records, any JSON, and None forgets it."""
    assert store.cursor("notes") is None
    store.commit([put("a")], cursor=("notes", {"page": 2, "since": "é"}))
    assert {"page": 2, "since": "é"} == store.cursor("notes")
    store.commit([], cursor=("notes", [3]))
    store.set_cursor("other", "x")
    assert ([3], "x") == (store.cursor("notes"), store.cursor("other"))
    store.set_cursor("notes", None)
    assert store.cursor("notes") is None


@pytest.mark.parametrize("cursor", [("notes", float("nan")), ("notes", "x" * 1024 * 1024), ("", 1), ("n" * 129, 1)])
def test_cursor_that_cannot_be_kept_is_refused_whole(store: Store, cursor: tuple[str, Any]) -> None:
    """Nothing of the commit is stored then: records without their cursor would be a lie."""
    with pytest.raises(BadRequest):
        store.commit([put("a")], cursor=cursor)

    assert 0 == store.head()


def test_commit_takes_five_hundred_changes_and_no_more(store: Store) -> None:
    """The bound of a batch, just under and just over."""
    changes = [put(f"{number:04}") for number in range(BATCH_CHANGES_MAX + 1)]

    with pytest.raises(BadRequest):
        store.commit(changes)
    assert BATCH_CHANGES_MAX == store.commit(changes[1:]).new


def test_producer_beyond_its_bound_is_refused(store: Store) -> None:
    """Provenance is small; what is larger is the caller's fault."""
    with pytest.raises(BadRequest):
        store.commit([put("a")], producer={"x": "y" * 16 * 1024})

    assert 0 == store.head()


def test_runs_are_kept_the_latest_first(store: Store) -> None:
    """A run read back equals the run noted; the same id again replaces it; a stream's own can be asked for."""
    first = Run(id="1", stream="notes", started_at=1.0, ended_at=2.0, status="ok", new=3)
    second = Run(id="2", stream="other", started_at=3.0, ended_at=4.0, status="failed", problem={"type": "offline"})
    store.note_run(first)
    store.note_run(second)
    again = Run(id="1", stream="notes", started_at=1.0, ended_at=9.0, status="partial", new=4)
    store.note_run(again)

    assert [second, again] == store.runs(limit=10)
    assert [again] == store.runs("notes", limit=10)
    assert [second] == store.runs(limit=1)


def test_run_with_a_huge_problem_is_refused(store: Store) -> None:
    """What went wrong is told in less than 64 KiB."""
    with pytest.raises(BadRequest):
        store.note_run(
            Run(id="1", stream="n", started_at=1.0, ended_at=2.0, status="failed", problem={"x": "y" * 65536})
        )


def test_clock_that_steps_back_changes_no_order(open_store: OpenStore, clock: ManualClock) -> None:
    """`recorded_at` never decreases, also over a restart, and order is the position in the log."""
    store = open_store()
    store.commit([put("a", n=1)])
    clock.step(-86400)
    store.commit([put("a", n=2)])
    store.close()
    store = open_store()
    store.commit([put("a", n=3)])
    clock.step(2 * 86400)
    store.commit([put("a", n=4)])

    chain = store.facts(0, limit=10)
    assert [1, 2, 3, 4] == [fact.value["n"] for fact in chain]
    assert [0.0, 0.0, 0.0, 86400.0] == [fact.recorded_at - 1_700_000_000.0 for fact in chain]
    assert [0.0, -86400.0, -86400.0, 86400.0] == [fact.transaction_time - 1_700_000_000.0 for fact in chain]
    assert sorted(fact.rev for fact in chain) == [fact.rev for fact in chain]
    found = store.record("note", "a")
    assert found is not None
    assert 4 == found.value["n"]


def test_epoch_stays_and_opens_are_counted(open_store: OpenStore) -> None:
    """A store's incarnation is its own for life; each writer that comes is counted."""
    store = open_store()
    epoch = store.epoch()
    assert (32, 1) == (len(epoch), store.opens())
    store.close()
    store = open_store()

    assert (epoch, 2) == (store.epoch(), store.opens())


def test_new_origin_epoch_begins_its_own_log(open_store: OpenStore) -> None:
    """Positions of an origin have no holes and start at one in each incarnation; none is ever gone back to."""
    store = open_store()
    store.commit([put("a"), put("b")])
    store.close()
    store = open_store(origin=Origin(ORIGIN.log, 2))
    store.commit([put("c")])
    store.close()
    store = open_store()
    store.commit([put("d")])

    facts = store.facts(0, limit=10)
    assert [(1, 1), (1, 2), (2, 1), (2, 2)] == [(fact.origin_epoch, fact.origin_seq) for fact in facts]


def test_rebuild_equals_current(store: Store, clock: ManualClock) -> None:
    """The current state is the fold of the facts and nothing else. INV-01."""
    for number in range(30):
        clock.advance(1)
        store.commit([put(f"k{number % 7}", n=number, written=f"2026-01-{number % 28 + 1:02}"), gone(f"k{number % 5}")])
    before = state(store)

    store.rebuild()

    assert before == state(store)


def test_callback_hears_the_head_after_each_commit_that_added_facts(store: Store) -> None:
    """It is told after the commit, in order, once per commit; what added nothing is not told."""
    heard: list[int] = []
    told = threading.Event()

    def hear(head: int) -> None:
        heard.append(head)
        told.set()

    store.on_commit = hear
    store.commit([put("a"), put("b")])
    store.commit([put("a"), put("b")])
    store.set_cursor("notes", 1)
    store.commit([put("c")])
    store.close()

    assert told.is_set()
    assert [2, 3] == heard


def test_callback_that_raises_or_writes_harms_nobody(store: Store) -> None:
    """Writing from the callback would wait for itself for ever: it is refused, and the writing goes on."""
    refused: list[BaseException] = []

    def write(head: int) -> None:
        try:
            store.commit([put("x")])
        except Broken as err:
            refused.append(err)
        raise RuntimeError("a callback of somebody else")

    store.on_commit = write
    store.commit([put("a")])
    store.commit([put("b")])
    store.close()

    assert 2 == len(refused)


def test_closed_store_refuses_writes_and_reads(store: Store) -> None:
    """Closing twice is closing once; no question opens the file again."""
    store.commit([put("a")])
    store.close()
    store.close()

    with pytest.raises(Broken):
        store.commit([put("b")])
    with pytest.raises(Retry):
        store.head()


def test_files_are_the_owners_alone(store: Store) -> None:
    """The database, its log and the lock have mode 0600, whatever the umask."""
    store.commit([put("a")])

    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in store.path.parent.iterdir()}
    assert dict.fromkeys(("store.db", "store.db-wal", "store.db-shm", "store.lock"), "0o600") == modes


def test_settings_are_the_durable_ones(store: Store) -> None:
    """WAL and our own application id and version are in the file."""
    assert [("wal",)] == rows(store, "PRAGMA journal_mode")
    assert [(0x4C4B5231,)] == rows(store, "PRAGMA application_id")
    assert [(3,)] == rows(store, "PRAGMA user_version")


def test_two_stores_keep_apart(open_store: OpenStore, folder: Any, clock: ManualClock) -> None:
    """Two services of one connector share nothing, and differ in their epoch."""
    first = open_store()
    with Store.open(folder.parent / "notes-2", types=TYPES, origin=ORIGIN, clock=clock) as second:
        first.commit([put("a")])

        assert 0 == second.head()
        assert first.epoch() != second.epoch()


def test_damaged_file_is_reported_and_left_as_it_is(open_store: OpenStore, folder: Any) -> None:
    """A store that is none is never overwritten, and the lock is free again."""
    (folder / "store.db").write_bytes(b"no database at all, but long enough to have a header" * 40)

    for _ in range(2):
        with pytest.raises(FileDamaged):
            open_store()

    assert (folder / "store.db").read_bytes().startswith(b"no database")


def test_folder_that_cannot_be_made_is_reported(tmp_path: Any, clock: ManualClock) -> None:
    """A folder below a file, or one that is a link, is no place for a store."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(FolderUnusable):
        Store.open(tmp_path / "file" / "notes", types=TYPES, origin=ORIGIN, clock=clock)
    with pytest.raises(FileDamaged):
        Store.open(tmp_path / "link", types=TYPES, origin=ORIGIN, clock=clock)


def test_what_was_found_unfit_before_is_set_aside_with_the_batch(store: Store) -> None:
    """Counted, with its reason and the beginning of what came; a good version clears it as any other."""
    aside = [Aside(type="note", key="a", reason="it has no text", value={"x": 1}), Aside(type="", key="\0", reason="?")]
    done = store.commit([put("b", n=1)], aside=aside, cursor=("notes", 7))
    kept = {one.reason: one for one in store.quarantined(10)}
    store.commit([put("a", n=1)])

    assert Commit(new=1, quarantined=2, head=1) == done
    assert ("note", "a", "bad_record", '{"x": 1}') == tuple(
        getattr(kept["it has no text"], name) for name in ("type", "key", "code", "sample")
    )
    assert ["?"] == [one.reason for one in store.quarantined(10)]
    assert 7 == store.cursor("notes")


def test_what_is_set_aside_counts_towards_the_batch(store: Store) -> None:
    """One bound for both, just at it and just over."""
    aside = [Aside(type="note", key=str(n), reason="no") for n in range(BATCH_CHANGES_MAX)]
    store.commit([], aside=aside)

    with pytest.raises(BadRequest, match=str(BATCH_CHANGES_MAX + 1)):
        store.commit([put("b", n=1)], aside=aside)
    assert 0 == store.head()

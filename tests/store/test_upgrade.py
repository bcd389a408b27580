"""A store of every earlier version opens with all that it held, after a backup."""

from __future__ import annotations

import hashlib
import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from core.model.clock import ManualClock
from core.model.errors import FileDamaged, TooBusy
from core.model.fact import Change
from core.model.filter import parse
from core.model.manifest import TypeSpec
from core.store import AtSeq, Origin, Reader, Store
from core.store.care.checkup import check_up
from core.store.migrate import version_of
from core.store.schema import APPLICATION_ID, MIGRATIONS
from core.store.words import text

STORES = Path(__file__).parents[1] / "data" / "stores"
TYPES = {
    "note": TypeSpec(name="note", time="written", title="title", text=("title", "body"), volatile=("views",)),
}
TYPES_OF_2 = {
    "note": TypeSpec(
        name="note", time="written", title="title", text=("body",), index=("tag", 'odd"name'), volatile=("views",)
    ),
    "bare": TypeSpec(name="bare"),
}
_PUT_OF_SECOND = """
    INSERT INTO fact VALUES (?, ?, 'note', ?, 'put', '{}', NULL, ?, NULL, 1.6e9, NULL, 1, NULL, NULL, 2, ?, 1.6e9, 0,
        1600000000000, 1.6e9)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A service's folder with a store of version 1."""
    folder = tmp_path / "notes"
    folder.mkdir(mode=0o700)
    shutil.copy(STORES / "version1.db", folder / "store.db")
    return folder


def test_a_store_of_version_1_keeps_all_it_held(folder: Path) -> None:
    """Facts with every field, records, histories, cursors and what was set aside."""
    with Store.open(folder, types=TYPES, origin=Origin("device/service", 2), clock=ManualClock()) as store:
        facts = store.facts(0, limit=100)

        assert [1, 2, 3, 4, 5, 6, 7] == [fact.seq for fact in facts]
        assert [1, 2, 3, 4, 5, 6, 1] == [fact.origin_seq for fact in facts]
        assert ["put", "put", "put", "delete", "put", "put", "put"] == [fact.action for fact in facts]
        assert {"title": "First", "body": "one é", "written": "2026-01-02", "views": 1, "big": 2**70} == facts[0].value
        assert {"name": "fixture"} == facts[0].producer
        assert ({"of": "x"}, 5.0, (0, 7)) == (facts[4].derivation, facts[4].valid_time, facts[4].rev)
        assert [facts[2].id, facts[0].id] == [fact.id for fact in store.history("note", "a", limit=10).facts]
        assert facts[0].id == facts[2].causation
        assert {"note": 3, "other": 1} == store.counts()
        assert {"page": 2} == store.cursor("notes")
        assert ["bad"] == [one.key for one in store.quarantined(10)]
        record = store.record("note", "b")
        assert record is not None and {"title": "Back"} == record.value


def test_a_store_of_version_1_is_written_on(folder: Path) -> None:
    """An unchanged record is known; a new fact goes on where the log ended."""
    with Store.open(folder, types=TYPES, origin=Origin("device/service", 2), clock=ManualClock()) as store:
        done = store.commit(
            [
                Change(type="note", key="c", value={"title": "Third", "views": 9}),
                Change(type="note", key="a", value={"title": "First, a third time"}),
            ]
        )

        assert (1, 1, 8) == (done.same, done.updated, done.head)
        assert 2 == store.facts(7, limit=1)[0].origin_seq


def test_the_store_before_is_kept_whole(folder: Path) -> None:
    """The backup is what the file was, of its own version."""
    Store.open(folder, types=TYPES, origin=Origin("device/service", 2), clock=ManualClock()).close()

    copy = apsw.Connection(str(folder / "store.db.before-v2"), flags=apsw.SQLITE_OPEN_READWRITE)
    assert 1 == version_of(copy, folder, application_id=APPLICATION_ID, newest=len(MIGRATIONS))
    assert 7 == copy.execute("SELECT count(*) FROM fact").get
    copy.close()


def test_reading_a_store_of_an_earlier_version_tells_that_it_waits(folder: Path) -> None:
    """Nobody but its writer brings it up; until then it cannot be read by this version's statements."""
    with Reader.open(folder, types=TYPES) as reader:
        with pytest.raises(TooBusy, match="earlier version"):
            reader.facts(0, limit=10)
        assert reader.is_of_earlier_version
        Store.open(folder, types=TYPES, origin=Origin("device/service", 2), clock=ManualClock()).close()

        assert 7 == len(reader.facts(0, limit=10))
        assert not reader.is_of_earlier_version


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A service's folder with a store of version 2."""
    folder = tmp_path / "second"
    folder.mkdir(mode=0o700)
    shutil.copy(STORES / "version2.db", folder / "store.db")
    return folder


def opened(folder: Path) -> Store:
    """The store of version 2, with the declarations that it was made by."""
    return Store.open(folder, types=TYPES_OF_2, origin=Origin("device/service", 1), clock=ManualClock())


def said(path: Path, statement: str) -> list[tuple[Any, ...]]:
    """What a database holds."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return db.execute(statement).fetchall()


def test_a_store_of_version_2_keeps_all_it_held(second: Path) -> None:
    """Row by row, but for what is folded anew: the words, and an index that not every SQLite has alike."""
    tables = (
        "fact", "current", "past", "tally", "cursor", "run", "quarantine", "type", "origin", "producer", "receipt",
        "point", "sample", "rollup", "checkpoint",
    )  # fmt: skip
    before = {table: said(second / "store.db", f"SELECT * FROM {table}") for table in tables}
    with opened(second) as store:
        store.index_all()

        assert ["b"] == [one.key for one in store.history("note", "b", limit=1).facts]
        assert {"note": 2, "bare": 1} == store.counts()
    assert before == {table: said(second / "store.db", f"SELECT * FROM {table}") for table in tables}
    assert [("tag",)] == said(second / "store.db", "SELECT path FROM field_index")
    assert [(3,)] == said(second / "store.db", "PRAGMA user_version")
    assert [(2,)] == said(second / "store.db.before-v3", "PRAGMA user_version")
    assert check_up(second / "store.db", types=TYPES_OF_2).is_whole


def test_the_words_of_a_store_of_version_2_are_found_again(second: Path) -> None:
    """Soon, without anybody's asking; those of every version, none of what was erased."""
    with opened(second) as store:
        deadline = time.monotonic() + 10
        while store.rows("SELECT value FROM meta WHERE name = 'indexed_seq'") != [(8,)]:
            assert time.monotonic() < deadline, "its words were not indexed in time"
            time.sleep(0.01)

        assert ["a"] == [hit.key for hit in store.search("lighthouse keeper", limit=9).hits]
        assert [1] == [hit.seq for hit in store.search("fog", limit=9, as_of=AtSeq(3)).hits]
        assert ["c"] == [hit.key for hit in store.search("東京", limit=9).hits]
        assert ["x"] == [hit.key for hit in store.search("computed", limit=9).hits]
        assert [] == store.search("zaphodbeeblebrox", limit=9).hits


def test_a_store_of_version_2_is_written_while_its_words_are_folded(
    second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No write waits for the words of a large store, and what is written meanwhile is found with them."""
    monkeypatch.setattr(text, "_CATCH_UP_FACTS", 2)
    with opened(second) as store:
        store.commit([Change(type="note", key="n", value={"title": "Written meanwhile"})])
        store.erase(record=("note", "a"), actor="owner")
        store.index_all()

        assert ["n"] == [hit.key for hit in store.search("meanwhile", limit=9).hits]
        assert [] == store.search("lighthouse", limit=9).hits
    assert check_up(second / "store.db", types=TYPES_OF_2).is_whole


def damage(path: Path, said: bytes, becomes: bytes) -> None:
    """Write other bytes over what stands in the file once."""
    held = path.read_bytes()
    assert 1 == held.count(said) and len(said) == len(becomes)
    path.write_bytes(held.replace(said, becomes))


# What breaks the JSON of the third fact, and what breaks its letters.
@pytest.fixture(
    params=[(b'{"title":"Third"', b'{\x01title":"Third"'), (b'"Third"', b'"Thi\xffd"')], ids=["json", "letters"]
)
def hurt(second: Path, request: pytest.FixtureRequest) -> Path:
    """A service's folder with a store of version 2, of which one old value is damaged."""
    damage(second / "store.db", *request.param)
    return second


def test_a_damaged_value_hinders_no_other_record(hurt: Path) -> None:
    """What is written is stored, and found by words, filters and order; the checkup names the bad fact alone."""
    with opened(hurt) as store:
        store.commit([Change(type="note", key="n", value={"title": "Newborn", "tag": "sea"})])
        store.index_all()
        store.commit([Change(type="note", key="m", value={"title": "Later", "tag": "sky"})])

        assert ["n"] == [hit.key for hit in store.search("newborn", limit=9).hits]
        assert ["a"] == [hit.key for hit in store.search("lighthouse keeper", limit=9).hits]
        assert ["a", "n"] == [one.key for one in store.records("note", where=parse('tag == "sea"'), limit=9).records]
        assert ["m"] == [one.key for one in store.records("note", where=parse('title == "Later"'), limit=9).records]
        assert 1 == store.count("note", where=parse('title == "Later"')).count
        assert ["m", "n"] == [one.key for one in store.records("note", order="-tag", limit=2).records]
    found = check_up(hurt / "store.db", types=TYPES_OF_2)
    assert ((3,), (), False) == (found.log.bad, found.faults, found.folds_differ)


def test_a_rebuild_names_the_damaged_fact(hurt: Path) -> None:
    """It folds nothing then, and the store goes on as it was."""
    with opened(hurt) as store:
        with pytest.raises(FileDamaged, match="fact 3 cannot be read"):
            store.rebuild()
        store.commit([Change(type="note", key="n", value={"title": "Fresh"})])

        assert {"note": 3, "bare": 1} == store.counts()


def test_numbers_of_a_later_origin_stay(tmp_path: Path) -> None:
    """Of any origin but the first, a number that equals its fact's position is still the number it was given."""
    folder = tmp_path / "later"
    folder.mkdir(mode=0o700)
    db = apsw.Connection(str(folder / "store.db"))
    db.execute(str(MIGRATIONS[0]))
    db.pragma("application_id", APPLICATION_ID)
    db.pragma("user_version", 1)
    db.execute("INSERT INTO meta VALUES ('store_epoch', x'00112233445566778899aabbccddeeff'), ('opens', 2)")
    db.execute("INSERT INTO origin VALUES (1, 'device/service', 1), (2, 'device/service', 2)")
    rows = [(seq, f"id{seq}", f"k{seq}", hashlib.sha256(b"{}").digest(), seq) for seq in (1, 2, 3)]
    db.executemany(_PUT_OF_SECOND, rows)
    db.close()

    with Store.open(folder, types={}, origin=Origin("device/service", 2), clock=ManualClock()) as store:
        store.commit([Change(type="note", key="new", value={"n": 1})])

        found = [(fact.seq, fact.origin_epoch, fact.origin_seq) for fact in store.facts(0, limit=9)]
    assert [(1, 2, 1), (2, 2, 2), (3, 2, 3), (4, 2, 4)] == found

"""doctor and the stores: what is wrong is named, what loses nothing is put in order, what does waits for a word."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest

from core.cli import exits
from core.cli.findings import FAULT, GOOD, NOTE
from core.model.clock import SystemClock
from core.model.fact import Change
from core.store import Origin, Reader, Store
from core.store.care.walfile import FRAME_HEADER_BYTES, HEADER_BYTES
from core.store.log import receipts
from tests.cli.conftest import Locker
from tests.cli.fake_core import FakeCore
from tests.cli.test_doctor import furnished, record

SERVICE = {
    "id": "feeds", "uid": "019a0000-0000-7000-8000-000000000000", "connector": "nobody", "title": "Feeds",
    "installed_at": 1.0, "enabled": True,
}  # fmt: skip


@pytest.fixture
def store(me: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Me with one service, whose store holds three facts and one file."""
    monkeypatch.setenv("LOCKER_PORT", "0")
    me.mkdir(mode=0o700, exist_ok=True)
    (me / "locker.json").write_text(json.dumps({"services": {"1": SERVICE}}))
    with opened(me) as store:
        for number in range(3):
            store.commit([Change(type="entry", key="a", value={"n": number})])
        store.files.put_file(io.BytesIO(b"a photo"))
    return me / "feeds" / "store.db"


def opened(me: Path) -> Store:
    """The service's store, to be written."""
    return Store.open(me / "feeds", types={}, origin=Origin("d/x", 1), clock=SystemClock())


def crash(store: Path) -> Path:
    """Leave the store as a killed writer does; its write-ahead log, of three commits and more."""
    me = store.parent.parent
    with opened(me) as writer:
        for number in range(3, 6):
            writer.commit([Change(type="entry", key="b", value={"n": number})])
        copy = me.parent / "copy"
        copy.mkdir()
        for name in ("store.db", "store.db-wal", "store.lock"):
            shutil.copyfile(store.parent / name, copy / name)
    for path in copy.iterdir():
        shutil.copyfile(path, store.parent / path.name)
    shutil.rmtree(copy)
    (store.parent / "store.db-shm").unlink(missing_ok=True)
    return store.parent / "store.db-wal"


def harm(wal: Path) -> None:
    """Change bytes of the log's first frame."""
    with wal.open("r+b") as file:
        file.seek(HEADER_BYTES + FRAME_HEADER_BYTES + 50)
        file.write(b"\xff" * 400)


def execute(store: Path, statement: str) -> None:
    """Change the database behind the store's back."""
    db = apsw.Connection(str(store))
    db.execute(statement)
    db.close()


def of_feeds(locker: Locker, *options: str) -> list[dict[str, Any]]:
    """What doctor says of the service."""
    return [f for f in json.loads(locker("doctor", "--json", *options).out) if f["subject"] == "feeds"]


def told(findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Level and sentence of each."""
    return [(f["level"], f["sentence"]) for f in findings]


def test_a_whole_store_is_told_with_what_it_holds(locker: Locker, store: Path) -> None:
    """How much was looked through is told, and nothing of it is changed."""
    before = store.read_bytes()

    assert [(GOOD, "3 facts and 1 files are what was written.")] == told(of_feeds(locker))
    assert before == store.read_bytes()


def test_a_fact_that_is_not_what_was_written_is_a_fault(locker: Locker, store: Path) -> None:
    """Its position is named, and that only a backup helps: --repair does not pretend to."""
    execute(store, "UPDATE fact SET value = '{\"n\":7}' WHERE seq = 1")
    found = [finding for finding in of_feeds(locker, "--repair") if finding["level"] == FAULT]

    assert "Facts that are not what was written: 1 (positions 1)." == found[0]["sentence"]
    assert "backup" in found[0]["cure"]


def test_a_file_that_is_not_what_was_put_is_a_fault(locker: Locker, store: Path) -> None:
    """Named by the beginning of its digest."""
    [file] = [path for path in (store.parent / "files").glob("*/*") if path.parent.name != "unfinished"]
    file.chmod(0o600)
    file.write_bytes(b"a phot0")
    [found] = of_feeds(locker)

    assert FAULT == found["level"]
    assert (file.parent.name + file.name)[:16] in found["sentence"]


def test_folds_that_differ_are_folded_anew_by_a_repair(locker: Locker, store: Path) -> None:
    """Told first, put in order by --repair, then whole."""
    execute(store, "UPDATE tally SET live = 9")
    before = of_feeds(locker)
    repaired = told(of_feeds(locker, "--repair"))

    assert [FAULT] == [finding["level"] for finding in before]
    assert "--repair" in before[0]["cure"]
    assert (NOTE, "What is folded from its facts was folded anew.") == repaired[0]
    assert [GOOD] == [level for level, _ in told(of_feeds(locker))]


def test_an_unfinished_end_is_told_and_dropped(locker: Locker, store: Path) -> None:
    """doctor alone changes nothing; --repair sets it aside, and the copy is spoken of."""
    wal = crash(store)
    os.truncate(wal, wal.stat().st_size - 100)
    before, size = of_feeds(locker), wal.stat().st_size
    repaired = told(of_feeds(locker, "--repair"))
    after = of_feeds(locker)

    assert [NOTE] == [finding["level"] for finding in before]
    assert "unfinished after a crash" in before[0]["sentence"]
    assert size > 0
    assert "It is set aside as quarantine/" in repaired[0][1]
    assert [GOOD, NOTE] == [finding["level"] for finding in after]
    assert "Copies were set aside" in after[1]["sentence"]


def test_what_was_salvaged_is_taken_at_a_word(locker: Locker, store: Path) -> None:
    """Nothing is changed before it; afterwards the store is whole and a receipt tells of it."""
    harm(crash(store))
    first = of_feeds(locker)
    salvaged = of_feeds(locker, "--repair")
    unsure = locker("doctor", "--accept-salvage", "feeds")
    done = locker("doctor", "--accept-salvage", "feeds", "--yes")
    with Reader.open(store.parent, types={}) as reader:
        receipts = [(receipt.verb, receipt.actor) for receipt in reader.receipts(5)]

    assert [FAULT] == [finding["level"] for finding in first]
    assert "doctor --repair" in first[0]["cure"]
    assert "--accept-salvage feeds" in salvaged[-1]["cure"]
    for told in (salvaged[-1]["sentence"], done.out):
        assert "-store.db, quarantine/" in told and "-wal." in told
    assert "--yes" in unsure.err
    assert exits.DONE == done.code, done.err
    assert "feeds goes on with" in done.out
    assert [("salvage", "owner")] == receipts
    assert GOOD == of_feeds(locker)[0]["level"]


def test_nothing_is_taken_where_nothing_waits(locker: Locker, store: Path) -> None:
    """Neither for a store in order nor for a name that nobody bears."""
    refusals = [locker("doctor", "--accept-salvage", name, "--yes") for name in ("feeds", "nothing", "../x")]

    assert ["No damaged store"] * 3 == [refusal.err[: len("No damaged store")] for refusal in refusals]


def test_a_core_keeps_away_from_what_is_put_in_order(locker: Locker, core: FakeCore, store: Path) -> None:
    """Until all of it is done, and once: nothing in it borrows what is borrowed already."""
    furnished(core, record("feeds"))
    execute(store, "UPDATE tally SET live = 9")
    repaired = told(of_feeds(locker, "--repair"))

    assert (NOTE, "What is folded from its facts was folded anew.") == repaired[0]
    assert ["feeds", "feeds is back"] == core.lent
    assert [] == [asked.path for asked in core.asked if asked.method == "POST"]


def test_what_could_not_be_stored_is_told(locker: Locker, store: Path) -> None:
    """A note beside what is whole: nothing is broken, and it is not forgotten."""
    with opened(store.parent.parent) as writer:
        writer.commit([Change(type="entry", key=key, value={}, order_key=2**70) for key in ("x", "y")])

    assert (NOTE, "2 records could not be stored and are set aside.") in told(of_feeds(locker))


def test_a_receipt_that_nobody_can_read_is_told(locker: Locker, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts are whole, and yet the store is not as it should be: its page and its export fail over it."""
    monkeypatch.setattr(receipts, "RECEIPT_BYTES_MAX", 2**26)
    with opened(store.parent.parent) as writer:
        writer.leave_receipt("import", actor="owner", document={"said": "y" * 14_000_000})

    [(level, sentence)] = told(of_feeds(locker))
    assert (FAULT, True, "TooBigError") == (level, "receipts" in sentence, sentence[:-1].rpartition(" ")[2])


def test_a_store_that_somebody_writes_is_looked_through(locker: Locker, store: Path) -> None:
    """It is unsettled as long as that lasts, and not spoken of for it."""
    with opened(store.parent.parent) as writer:
        writer.commit([Change(type="entry", key="c", value={})])

        assert [(GOOD, "4 facts and 1 files are what was written.")] == told(of_feeds(locker))

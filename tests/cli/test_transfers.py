"""export and import: what goes out by default, what is told, and that a running core is no obstacle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.cli import exits
from core.model.clock import ManualClock
from core.store import Reader
from core.store.log.quarantine import ROWS_MAX
from tests.backup.conftest import furnish
from tests.cli.conftest import Locker
from tests.cli.fake_core import running


@pytest.fixture
def full(me: Path) -> Path:
    """A Me with everything in it."""
    return furnish(me, ManualClock())


def test_everything_is_exported_unless_less_is_asked_for(full: Path, locker: Locker, tmp_path: Path) -> None:
    """Facts, records, tables and files of every service; or of one, without what is not wanted."""
    done = locker("export", str(tmp_path / "all"))
    one = locker(
        "export", str(tmp_path / "one"), "--service", "feeds", "--no-csv", "--no-files", "--snapshot", "--json"
    )

    assert exits.DONE == done.code
    assert "read back and whole" in done.out
    assert {"feeds", "notes", "export.json", "contents.jsonl"} == {path.name for path in (tmp_path / "all").iterdir()}
    assert {"facts.jsonl", "service.json", "schema.json", "records", "csv", "files"} == {
        path.name for path in (tmp_path / "all" / "feeds").iterdir()
    }
    assert {"facts.jsonl", "facts.snap", "service.json", "schema.json", "records"} == {
        path.name for path in (tmp_path / "one" / "feeds").iterdir()
    }
    assert [("feeds", 22)] == [(said["service"], said["facts"]) for said in json.loads(one.out)["services"]]


def test_nothing_is_exported_into_me(full: Path, locker: Locker) -> None:
    """That folder is Locker's alone."""
    assert exits.REFUSED == locker("export", str(full / "x")).code
    assert not (full / "x").exists()


def test_parquet_is_made_where_it_is_asked_for(full: Path, locker: Locker, tmp_path: Path) -> None:
    """Beside the rest."""
    assert exits.DONE == locker("export", str(tmp_path / "x"), "--service", "feeds", "--parquet").code

    assert (tmp_path / "x" / "feeds" / "parquet" / "entry.parquet").read_bytes().startswith(b"PAR1")


def test_what_cannot_be_exported_is_told(full: Path, locker: Locker, tmp_path: Path) -> None:
    """The others are exported, and the exit code says that something is missing."""
    (full / "feeds" / "store.db").write_bytes(b"SQLite format 3\0" + b"x" * 9000)

    done = locker("export", str(tmp_path / "x"))

    assert exits.FAILED == done.code
    assert "feeds could not be exported" in done.err
    assert f"Exported to {tmp_path / 'x'} without feeds; what is in it was read back." in done.out
    assert "whole" not in done.out
    assert (tmp_path / "x" / "notes" / "facts.jsonl").exists()


def _folder(tmp_path: Path) -> Path:
    """An export of one service, without any facts yet."""
    coming = tmp_path / "coming"
    coming.mkdir()
    (coming / "facts.jsonl").write_text("")
    return coming


def test_an_import_tells_what_it_left_out(full: Path, locker: Locker, tmp_path: Path) -> None:
    """What waits elsewhere and has no room here is told, and the exit code says that something is missing."""
    line = {
        "type": "entry", "code": "bad_record", "reason": "no", "sample": "", "first_seen": 1.0, "last_seen": 1.0,
        "times": 1,
    }  # fmt: skip
    coming = _folder(tmp_path)
    lines = (json.dumps({**line, "key": f"x{n}"}) + "\n" for n in range(ROWS_MAX + 2))
    (coming / "quarantine.jsonl").write_text("".join(lines))

    done = locker("import", str(coming), "--into", "notes")

    assert exits.FAILED == done.code
    assert "notes: 2 records had no room among those set aside, which are 10,000 at most." in done.err
    assert "1,000 or more records could not be stored and are set aside." in locker("doctor").out


def test_a_receipt_that_is_too_large_does_no_harm(full: Path, locker: Locker, tmp_path: Path) -> None:
    """It is left out and counted; what is exported afterwards is whole."""
    receipt = {"store_epoch": "aa", "verb": "erase", "at": 1.0, "actor": "x", "document": {"ids": ["y" * 2**24]}}
    coming = _folder(tmp_path)
    (coming / "receipts.jsonl").write_text(json.dumps(receipt) + "\n")

    done = json.loads(locker("import", str(coming), "--into", "notes", "--json").out)

    assert (0, 1) == (done["services"]["notes"]["receipts"], done["services"]["notes"]["unreadable"])
    assert exits.DONE == locker("export", str(tmp_path / "x")).code


def test_an_import_tells_what_came(full: Path, locker: Locker, tmp_path: Path) -> None:
    """New facts, known ones, and what was wrong; again nothing is new."""
    locker("export", str(tmp_path / "x.zip"), "--service", "feeds")

    first = json.loads(locker("import", str(tmp_path / "x.zip"), "--into", "notes", "--json").out)
    again = locker("import", str(tmp_path / "x.zip"))

    assert (22, 0) == (first["services"]["notes"]["added"], first["services"]["notes"]["known"])
    assert exits.DONE == again.code
    assert ["feeds", "0", "22"] == again.out.splitlines()[1].split()[:3]


def test_an_import_into_a_folder_that_is_gone_begins_another_epoch(full: Path, locker: Locker, tmp_path: Path) -> None:
    """What was stored there, and is not in the file, may come back some day."""
    locker("export", str(tmp_path / "x.zip"), "--service", "feeds")
    before = json.loads((full / "locker.json").read_text())["services"].values()
    shutil.rmtree(full / "feeds")

    done = locker("import", str(tmp_path / "x.zip"))

    assert exits.DONE == done.code
    after = {
        row["id"]: row["origin_epoch"] for row in json.loads((full / "locker.json").read_text())["services"].values()
    }
    assert {row["id"]: row["origin_epoch"] + 1000 * (row["id"] == "feeds") for row in before} == after


def test_a_damaged_file_is_told_and_its_whole_facts_are_taken(full: Path, locker: Locker, tmp_path: Path) -> None:
    """The exit code says that it was not all."""
    locker("export", str(tmp_path / "x"), "--service", "feeds", "--snapshot")
    content = (tmp_path / "x" / "feeds" / "facts.snap").read_bytes()
    (tmp_path / "cut.snap").write_bytes(content[:-300])

    done = locker("import", str(tmp_path / "cut.snap"), "--into", "notes")

    assert exits.FAILED == done.code
    assert "the snapshot is partial" in done.err


def test_a_service_that_is_not_installed_is_named(full: Path, locker: Locker, tmp_path: Path) -> None:
    """In what is asked for, in what is exported, and in what is imported."""
    locker("export", str(tmp_path / "x.tar"))
    bare = tmp_path / "Bare"
    furnish(bare, ManualClock())
    text = (bare / "locker.json").read_text().replace('"id": "notes"', '"id": "others"')
    (bare / "locker.json").write_text(text)

    done = locker("import", str(tmp_path / "x.tar"), "--me", str(bare))

    assert exits.FAILED == done.code
    assert "notes was left out: There is no service notes" in done.err
    assert exits.REFUSED == locker("export", str(tmp_path / "y"), "--service", "nobody").code
    assert exits.REFUSED == locker("import", str(tmp_path / "x.tar"), "--into", "No Body").code
    assert exits.REFUSED == locker("import", str(tmp_path / "none")).code


def test_an_import_adds_to_a_me_that_is_there(full: Path, locker: Locker, tmp_path: Path) -> None:
    """For a new folder it says so, with both ways to fill one, and makes nothing."""
    locker("export", str(tmp_path / "x.zip"))
    new = tmp_path / "A new one"

    done = locker("import", str(tmp_path / "x.zip"), "--me", str(new))

    assert exits.REFUSED == done.code
    what, cure = done.err.splitlines()
    assert f"{new} holds no data of Locker's, and an import adds to data that is there." == what
    assert f"start Locker once: python3 locker.py --me '{new}'" in cure
    assert f"python3 locker.py restore FILE --me '{new}'" in cure
    assert not new.exists()


def test_a_running_core_lets_go_of_the_service_meanwhile(full: Path, locker: Locker, tmp_path: Path) -> None:
    """Each store is borrowed for as long as it takes facts, and nothing is switched off for that."""
    locker("export", str(tmp_path / "x.tar"))
    with running(full) as core:
        done = locker("import", str(tmp_path / "x.tar"))

    assert exits.DONE == done.code, done.err
    assert ["feeds", "feeds is back", "notes", "notes is back"] == core.lent
    assert [] == core.asked


def test_the_owner_s_own_store_goes_along(full: Path, locker: Locker, tmp_path: Path) -> None:
    """It is exported with all, and imported where no core has it open."""
    (full / "feeds").rename(full / "owner")
    done = locker("export", str(tmp_path / "x.tar"), "--service", "owner")
    assert exits.DONE == done.code, done.err
    other = furnish(tmp_path / "Other", ManualClock())

    assert exits.DONE == locker("import", str(tmp_path / "x.tar"), "--me", str(other)).code

    with Reader.open(other / "owner", types={}) as reader:
        assert 22 == reader.head()
    with running(other):
        assert exits.FAILED == locker("import", str(tmp_path / "x.tar"), "--me", str(other)).code

"""Erasing: what a fact said is in no file of the working directory any more, and the receipt says what was done."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from core.model.clock import ManualClock
from core.model.errors import NotFound
from core.model.fact import Change
from core.model.manifest import TypeSpec
from core.store import AtSeq, Reader, Store
from core.store.care import erasure
from core.store.care.checkup import check_up
from core.store.care.findings import QUARANTINE
from core.store.values import Aside
from tests.store.conftest import ORIGIN

SECRET = "zaphodbeeblebrox"
TYPES = {"note": TypeSpec(name="note", title="title", text=("body",), index=("tag",), time="written")}

# Raw files are read by a process of their own: here, closing them would drop SQLite's locks.
SEARCH = """
import sys
from pathlib import Path
found = [str(path.relative_to(sys.argv[1])) for path in sorted(Path(sys.argv[1]).rglob("*")) if path.is_file()
         and any(bytes.fromhex(needle) in path.read_bytes().lower() for needle in sys.argv[2:])]
print("\\\\n".join(found))
"""


def _files_with(folder: Path, *needles: bytes) -> list[str]:
    """The files that hold one of these, in small letters."""
    arguments = [needle.lower().hex() for needle in needles]
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.split()


def _note(key: str, word: str, *, fill: int = 20) -> Change:
    value = {"title": f"{word} title", "body": f"{word} body " + "filler " * fill, "tag": word, "written": 1.0}
    return Change(type="note", key=key, value=value, common={"place": f"{word}ville"}, derivation={"of": word})


@pytest.fixture
def clock() -> ManualClock:
    """A clock at a fixed moment."""
    return ManualClock()


@pytest.fixture
def opened(folder: Path, clock: ManualClock) -> Store:
    """A new store whose type declares words and an index."""
    return Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock)


def test_erase_leaves_no_bytes(opened: Store, folder: Path) -> None:
    """Fact, folds, text, indexes and the write-ahead log hold nothing of it, the store still open. INV-15."""
    opened.commit([_note("a", SECRET), _note("b", "plain")])
    opened.commit([_note("a", f"{SECRET}again")])
    assert _files_with(folder, SECRET.encode())
    done = opened.erase(record=("note", "a"), actor="owner")

    assert [] == _files_with(folder, SECRET.encode())
    assert (2, [[1, 1], [3, 3]], False) == (done["count"], done["ranges"], done["drop_hash"])
    opened.close()
    assert [] == _files_with(folder, SECRET.encode())


def test_erased_versions_read_as_deletions(opened: Store, folder: Path) -> None:
    """Place, id, record and times stay; the answer at any moment is that there was nothing."""
    opened.commit([_note("a", SECRET)])
    opened.commit([_note("a", "better")])
    first, second = opened.facts(0, limit=10)
    opened.erase(ids=[first.id], actor="owner")
    erased = opened.facts(0, limit=1)[0]

    assert (first.seq, first.id, first.type, first.key, first.recorded_at, first.value_hash) == (
        erased.seq,
        erased.id,
        erased.type,
        erased.key,
        erased.recorded_at,
        erased.value_hash,
    )
    assert ("delete", {}, {}, None) == (erased.action, erased.value, erased.common, erased.derivation)
    assert opened.record("note", "a", as_of=AtSeq(1)) is None
    now = opened.record("note", "a")
    assert now is not None and second.seq == now.seq
    assert 1 == opened.counts()["note"]
    opened.rebuild()
    assert 1 == opened.counts()["note"]
    opened.close()
    assert check_up(folder / "store.db", types=TYPES).is_whole


def test_hash_is_dropped_where_asked(opened: Store, folder: Path) -> None:
    """Of a short value the hash tells what it was; it goes where that is wished."""
    opened.commit([_note("a", SECRET)])
    value_hash = bytes.fromhex(opened.facts(0, limit=1)[0].value_hash)
    opened.erase(record=("note", "a"), actor="owner")
    assert value_hash in _bytes_of(folder)
    opened.erase(record=("note", "a"), drop_hash=True, actor="owner")

    assert "" == opened.facts(0, limit=1)[0].value_hash
    opened.close()
    assert value_hash not in _bytes_of(folder)


def _bytes_of(folder: Path) -> bytes:
    program = "import sys; sys.stdout.buffer.write(b''.join(open(p,'rb').read() for p in sys.argv[1:]))"
    names = [str(path) for path in (folder / "store.db", folder / "store.db-wal") if path.exists()]
    return subprocess.run([sys.executable, "-c", program, *names], check=True, capture_output=True).stdout


def test_erase_reaches_what_was_refused(opened: Store, folder: Path) -> None:
    """A bad version of the record, kept in quarantine, goes too."""
    opened.commit([_note("a", "plain")])
    opened.commit([], aside=[Aside(type="note", key="a", reason="odd", value={"title": SECRET})])
    assert _files_with(folder, SECRET.encode())
    opened.erase(record=("note", "a"), actor="owner")

    assert [] == opened.quarantined(10)
    assert [] == _files_with(folder, SECRET.encode())
    opened.close()


def test_erase_removes_copies_and_names_what_it_cannot_reach(opened: Store, folder: Path) -> None:
    """Copies set aside in the folder go; known backups elsewhere are named in the receipt."""
    (folder / QUARANTINE).mkdir()
    (folder / QUARANTINE / "20261120T000000Z-wal").write_text(SECRET)
    (folder / "store.db.before-v2").write_text(SECRET)
    backup = folder.parent.parent / "backup.tar"
    backup.write_text(SECRET)
    opened.commit([_note("a", SECRET)])
    db = apsw.Connection(str(folder / "store.db"))
    db.execute("INSERT INTO meta (name, value) VALUES ('backups', json_array(?, '/nowhere'))", (str(backup),))
    db.close()
    done = opened.erase(record=("note", "a"), actor="owner")

    assert [] == _files_with(folder, SECRET.encode())
    assert [f"{QUARANTINE}/20261120T000000Z-wal", "store.db.before-v2"] == done["copies_removed"]
    assert [str(backup)] == done["unreachable"]
    opened.close()


def test_erasure_is_ended_by_the_next_writer(opened: Store, folder: Path, clock: ManualClock) -> None:
    """A reader that stays in the way keeps bytes in the log only until it goes."""
    opened.commit([_note("a", SECRET)])
    db = apsw.Connection(str(folder / "store.db"), flags=apsw.SQLITE_OPEN_READONLY)
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM fact").fetchall()
    opened.erase(record=("note", "a"), actor="owner")
    db.execute("ROLLBACK")
    db.close()
    opened.close()

    with Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock):
        assert [] == _files_with(folder, SECRET.encode())


def test_an_erasure_removes_nothing_but_its_own_copies(
    opened: Store, folder: Path, tmp_path: Path, clock: ManualClock
) -> None:
    """A connector can write any name into its own store; whoever opens that next removes nobody's file by it."""
    opened.close()
    (tmp_path / "elsewhere").mkdir()
    files = [tmp_path / "elsewhere" / "precious", folder / "me.json"]
    for path in files:
        path.write_text("precious")
    (folder / QUARANTINE).symlink_to(tmp_path / "elsewhere")
    names = [str(files[0]), "../../elsewhere/precious", f"{QUARANTINE}/precious", "me.json"]
    db = apsw.Connection(str(folder / "store.db"))
    db.execute("INSERT INTO meta (name, value) VALUES ('erasing', ?)", (json.dumps(names),))
    db.close()
    Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock).close()

    assert ["precious", "precious"] == [path.read_text() for path in files]


def test_erasing_nothing_is_said(opened: Store) -> None:
    """There is no receipt for what was not there."""
    with pytest.raises(NotFound):
        opened.erase(record=("note", "a"), actor="owner")
    assert [] == opened.receipts(10)
    opened.close()


def test_receipt_says_what_went_and_nothing_of_it(opened: Store, folder: Path) -> None:
    """It reads as a fact, for whoever follows the log; it holds ids and counts, nothing of the content."""
    opened.commit([_note("a", SECRET)])
    erased = opened.facts(0, limit=1)[0]
    done = opened.erase(ids=[erased.id], actor="owner")
    opened.close()

    with Reader.open(folder, types=TYPES) as reader:
        as_fact = reader.record("__locker_erasures", "1")
        assert as_fact is not None and done == as_fact.value
        assert [erased.id] == done["ids"]
        assert SECRET not in str(done)


@pytest.mark.parametrize("seed", range(3))
def test_no_residue_after_a_long_life(opened: Store, folder: Path, seed: int) -> None:
    """Pages that were split, merged, freed and filled again keep nothing of what was erased."""
    dice = random.Random(seed)
    for _ in range(60):
        changes = []
        for _ in range(8):
            number = dice.randrange(60)
            word = SECRET if number % 3 == 0 else "plain"
            changes.append(_note(f"k{number}", f"{word}{dice.randrange(1000)}", fill=dice.choice([1, 30, 300, 2000])))
        opened.commit(changes)
        if dice.random() < 0.2:
            opened.commit([Change(type="note", key=f"k{dice.randrange(60)}", action="delete")])
    for number in range(0, 60, 3):
        if opened.history("note", f"k{number}", limit=1).facts:
            opened.erase(record=("note", f"k{number}"), drop_hash=bool(number % 2), actor="owner")

    assert [] == _files_with(folder, SECRET.encode())
    opened.close()
    assert check_up(folder / "store.db", types=TYPES).is_whole


def test_erase_reaches_a_producer_of_its_own(opened: Store, folder: Path) -> None:
    """The document of a producer that only erased facts had goes; one that others have too stays, and both can come
    back."""
    opened.commit([_note("a", "plain")], producer={"name": SECRET})
    opened.commit([_note("a", "plainer"), _note("b", "plain")], producer={"name": "shared"})
    opened.erase(record=("note", "a"), actor="owner")

    assert [] == _files_with(folder, SECRET.encode())
    assert [None, None, {"name": "shared"}] == [fact.producer for fact in opened.facts(0, limit=3)]
    opened.commit([_note("c", "plain")], producer={"name": SECRET})
    opened.commit([_note("d", "plain")], producer={"name": "shared"})
    assert [{"name": SECRET}, {"name": "shared"}] == [fact.producer for fact in opened.facts(4, limit=3)]
    opened.close()
    assert check_up(folder / "store.db", types=TYPES).is_whole


def test_files_that_only_erased_facts_named_are_told(opened: Store) -> None:
    """They go with the next collection; what others name, or was no file ever, is not told."""
    own, shared, set_aside = (opened.files.put_file(io.BytesIO(part)) for part in (b"own", b"shared", b"aside"))
    value = {"files": [own.upper(), shared, set_aside, "0" * 64]}
    opened.commit([Change(type="note", key="a", value=value), Change(type="note", key="b", value={"file": shared})])
    opened.commit([], aside=[Aside(type="note", key="c", reason="odd", value={"file": set_aside})])
    done = opened.erase(record=("note", "a"), actor="owner")

    assert [own] == done["files"]
    opened.collect_garbage(grace_s=-1e9, actor="owner")
    assert [False, True, True] == [opened.files.exists(digest) for digest in (own, shared, set_aside)]


@pytest.mark.parametrize(("most", "told"), [(2, 2), (3, 3), (4, 3)])
def test_so_many_files_are_told(opened: Store, monkeypatch: pytest.MonkeyPatch, most: int, told: int) -> None:
    """A receipt has its bound."""
    monkeypatch.setattr(erasure, "FILES_TOLD_MAX", most)
    names = [opened.files.put_file(io.BytesIO(part)) for part in (b"a", b"b", b"c")]
    opened.commit([Change(type="note", key="a", value={"files": names})])

    assert sorted(names)[:told] == opened.erase(record=("note", "a"), actor="owner")["files"]

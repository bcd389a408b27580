"""A file that another wrote runs nothing of its own: what would is refused before anything is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import apsw
import pytest

from core.model.clock import ManualClock
from core.model.errors import Broken, FileDamaged, LockerError
from core.model.fact import Change
from core.model.manifest import TypeSpec
from core.store import Store
from core.store.connection import open_for_reading, open_for_writing
from core.store.log import writer as writer_module
from core.store.log.ledger import Ledger
from core.store.schema import APPLICATION_ID, MIGRATIONS
from tests.store.conftest import ORIGIN, TYPES, OpenStore

ENDLESS = "SELECT count(*) FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c)"
DEADLINE_S = 20.0


def plant(folder: Path, statements: str) -> None:
    """Change the closed store of `folder` as another program may."""
    db = apsw.Connection(str(folder / "store.db"))
    db.execute(statements)
    db.close()


def in_time(do: Callable[[], Any]) -> Any:
    """What `do` returns or raises, within the deadline: a thread that hangs in SQLite cannot be ended."""
    done: list[Any] = []

    def run() -> None:
        try:
            done.append(do())
        except Exception as err:
            done.append(err)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert done, "it never returned"
    return done[0]


def opened(folder: Path, types: Mapping[str, TypeSpec] = TYPES) -> Any:
    """What comes of opening the store of `folder`, in time."""
    return in_time(lambda: Store.open(folder, types=types, origin=ORIGIN, clock=ManualClock()))


@pytest.mark.parametrize(
    "planted",
    [
        f"CREATE TRIGGER z BEFORE UPDATE ON meta BEGIN SELECT ({ENDLESS}); END",
        f"CREATE TRIGGER z AFTER INSERT ON fact BEGIN SELECT ({ENDLESS}); END",
        "CREATE VIRTUAL TABLE words USING fts5vocab (text, row)",
        "CREATE VIRTUAL TABLE more USING fts5 (title)",
        "DROP TABLE text; CREATE VIRTUAL TABLE text USING rtree (a, b, c)",
        "CREATE TABLE more (n, m AS (n || n))",
        "CREATE TABLE more (n, m AS (n || n) STORED)",
        "CREATE TABLE more (n CHECK (n LIKE '%a%'))",
        "CREATE TABLE more (n DEFAULT (hex(zeroblob(1000))))",
        "CREATE TABLE more (n default /* it is ( -- said */ -- so\n (hex(zeroblob(1000))))",
        "CREATE INDEX more ON fact (key LIKE '%a%a%a%')",
        "CREATE INDEX more ON fact (hex(zeroblob(1000)))",
    ],
)
def test_a_store_with_code_in_it_is_refused_untouched(folder: Path, open_store: OpenStore, planted: str) -> None:
    """With what cures it; nothing is written, and nothing of it runs."""
    store = open_store()
    store.commit([Change(type="note", key="a", value={"n": 1})])
    store.close()
    plant(folder, planted)
    before = (folder / "store.db").read_bytes()
    found = opened(folder)

    assert isinstance(found, FileDamaged)
    assert "Restore a backup" in str(found.remedy)
    assert before == (folder / "store.db").read_bytes()


def test_an_old_store_with_code_in_it_is_not_brought_up(folder: Path) -> None:
    """The core opens such a one at its start: it is refused, and not backed up or changed."""
    db = apsw.Connection(str(folder / "store.db"))
    assert isinstance(MIGRATIONS[0], str)
    db.execute(MIGRATIONS[0])
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1")
    db.execute(f"CREATE TRIGGER z BEFORE UPDATE ON meta BEGIN SELECT ({ENDLESS}); END")
    db.close()

    assert isinstance(opened(folder), FileDamaged)
    assert not (folder / "store.db.before-v2").exists()


def test_a_trigger_that_comes_while_the_store_is_open_never_runs(folder: Path, open_store: OpenStore) -> None:
    """The connection runs none."""
    store = open_store()
    plant(folder, f"CREATE TRIGGER z BEFORE INSERT ON fact BEGIN SELECT ({ENDLESS}); END")

    assert 1 == in_time(lambda: store.commit([Change(type="note", key="a", value={"n": 1})])).head


def test_a_name_in_a_table_is_no_statement(folder: Path, tmp_path: Path, open_store: OpenStore) -> None:
    """An index that nobody declares is dropped by its name: whatever that says, it stays a name."""
    open_store().close()
    name = f"""x"; ATTACH '{tmp_path / "made.db"}' AS made; CREATE TABLE made.t (x); --"""
    db = apsw.Connection(str(folder / "store.db"))
    db.execute("INSERT INTO field_index (type, path, name) VALUES (1, 'n', ?)", (name,))
    db.execute("DELETE FROM meta WHERE name = 'declarations'")
    db.close()
    opened(folder).close()

    assert not (tmp_path / "made.db").exists()
    db = apsw.Connection(str(folder / "store.db"))
    assert [] == db.execute("SELECT name FROM field_index").fetchall()
    db.close()


@pytest.mark.parametrize("connect", [open_for_reading, lambda path: open_for_writing(path, mode_of=path)])
@pytest.mark.parametrize("statement", ["ATTACH '{}' AS made", "VACUUM INTO '{}'"])
def test_no_statement_reaches_another_file(
    tmp_path: Path, store: Store, connect: Callable[[Path], apsw.Connection], statement: str
) -> None:
    """Whoever could smuggle one in has this store alone."""
    db = connect(store.path)
    with pytest.raises(apsw.Error):
        db.execute(statement.format(tmp_path / "made.db"))
    db.close()

    assert not (tmp_path / "made.db").exists()


def test_all_that_a_store_of_ours_holds_is_trusted(folder: Path) -> None:
    """Declared indexes with odd paths, views, and the tables of the text index; opened again and again."""
    types = {"note": TypeSpec(name="note", index=("n", "it's", "a(b"), title="t")}
    for _ in range(2):
        store = opened(folder, types)
        store.commit([Change(type="note", key="a", value={"n": 1, "t": "Buy milk"})])
        store.close()


def test_a_table_of_the_owners_own_is_let_be(folder: Path, open_store: OpenStore) -> None:
    """With plain values as defaults: nothing of it runs."""
    open_store().close()
    plant(folder, "CREATE TABLE mine (n DEFAULT 0, at DEFAULT CURRENT_TIMESTAMP, text DEFAULT 'a (b)')")

    opened(folder).close()


def test_a_type_whose_view_cannot_be_named_is_kept(folder: Path, clock: ManualClock) -> None:
    """`current_newest` is an index, and SQLite takes letters in either case for the same: such views are left out."""
    types = {name: TypeSpec(name=name) for name in ("newest", "note", "Note")}
    for _ in range(2):
        with Store.open(folder, types=types, origin=ORIGIN, clock=clock) as store:
            store.commit([Change(type=name, key="a", value={"n": 1}) for name in types])

            assert dict.fromkeys(types, 1) == store.counts()
            asked = "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name"
            assert [("current_note",), ("facts",)] == store.rows(asked)


def test_closing_breaks_off_what_does_not_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is undone, whoever waits for it is told, and the next writer may come."""
    monkeypatch.setattr(writer_module, "CLOSE_WAIT_S", 0.2)
    store.commit([Change(type="note", key="a", value={"n": 1})])
    writing = threading.Event()
    told: list[Any] = []

    def write() -> None:
        def never_end(ledger: Ledger) -> Any:
            writing.set()
            return ledger.rows(ENDLESS, ())

        try:
            store._submit(never_end, bulk=True)
        except LockerError as err:
            told.append(err)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    writing.wait(DEADLINE_S)
    in_time(store.close)
    thread.join(DEADLINE_S)
    again = opened(store.path.parent)

    assert [Broken] == [type(err) for err in told]
    assert 1 == again.head()
    again.close()

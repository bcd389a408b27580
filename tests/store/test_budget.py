"""How much of a file that another wrote a reader takes into memory."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from core.model.errors import FactDamaged, FileDamaged
from core.model.fact import Change
from core.store import Reader, Run
from core.store import reader as reader_module
from tests.store.conftest import OpenStore

MIB = 1024 * 1024


@pytest.fixture
def closed(folder: Path, open_store: OpenStore) -> Path:
    """The folder of a store with a record in it, which nobody writes."""
    store = open_store(types={})
    store.commit([Change(type="note", key="a", value={"n": 1})])
    store.close()
    return folder


def forge(folder: Path, *statements: str) -> None:
    """Change the store as another program may."""
    script = (
        "import apsw, sys; db = apsw.Connection(sys.argv[1]); [db.execute(one) for one in sys.argv[2:]]; db.close()"
    )
    subprocess.run([sys.executable, "-c", script, str(folder / "store.db"), "DROP VIEW facts", *statements], check=True)


def held_mib() -> int:
    """The most that this process had in memory until now."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


COUNT_TO_100 = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100)"


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ("id INTEGER PRIMARY KEY, name TEXT AS (printf('%.*c', 4000000, 'x') || id)", "(id) SELECT n FROM c"),
        ("id INTEGER PRIMARY KEY, name TEXT", "SELECT n, printf('%.*c', 4000000, 'x') || n FROM c"),
    ],
)
def test_forged_names_of_types_fill_no_memory(closed: Path, columns: str, names: str) -> None:
    """Whether they are in the file or computed at reading: they are refused within the bound."""
    forge(
        closed,
        f"DROP TABLE type; CREATE TABLE type ({columns})",
        f"{COUNT_TO_100} INSERT INTO type {names}",
        "DELETE FROM tally; INSERT INTO tally SELECT id, 1 FROM type",
    )
    before = held_mib()
    with Reader.open(closed, types={}) as reader, pytest.raises(FileDamaged):
        reader.counts()

    assert held_mib() - before < 3 * reader_module.ROWS_BYTES_MAX // MIB


def test_columns_beside_the_documents_count(closed: Path) -> None:
    """A page that ends early by its documents may not be filled with something else."""
    forge(
        closed,
        "INSERT INTO producer (document) VALUES (json_object('x', printf('%.*c', 4000000, 'x')))",
        "UPDATE fact SET producer = 1, row_digest = zeroblob(64)",
        f"{COUNT_TO_100} INSERT INTO fact SELECT seq + n, CAST(n AS TEXT), type, key || n, deleted, value, common,"
        " value_hash, causation, transaction_time, valid_time, schema_version, producer, derivation, origin, 100 + n,"
        " known_at, rev_generation, rev_order, recorded_at, row_digest FROM fact, c",
    )
    before = held_mib()
    with Reader.open(closed, types={}) as reader, pytest.raises((FileDamaged, FactDamaged)):
        reader.facts(0, limit=1000)

    assert held_mib() - before < 3 * reader_module.ROWS_BYTES_MAX // MIB


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_the_bound_counts_texts_and_blobs(
    closed: Path, monkeypatch: pytest.MonkeyPatch, spare: int, fits: bool
) -> None:
    """An answer that weighs as much as the bound is given, one that weighs more is not."""
    monkeypatch.setattr(reader_module, "ROWS_BYTES_MAX", 30 + spare)
    asked = "SELECT 'abcde', x'0102030405', 7, NULL UNION ALL SELECT 'abcdeabcde', 'abcdeabcde', 8, 1.5"
    with Reader.open(closed, types={}) as reader:
        if fits:
            assert 2 == len(reader.rows(asked))
        else:
            with pytest.raises(FileDamaged):
                reader.rows(asked)


def test_the_largest_lists_of_ours_are_given(open_store: OpenStore) -> None:
    """A thousand runs with long problems."""
    store = open_store()
    for n in range(1000):
        store.note_run(
            Run(id=str(n), stream="s", started_at=1.0, ended_at=2.0, status="failed", problem={"x": "x" * 60_000})
        )

    assert 1000 == len(store.runs(limit=1000))

"""What a type declares is done, for as long as it is declared; what cannot be done is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest
from core.model.fact import Change
from core.model.manifest import TypeSpec
from core.store import Reader, Store
from tests.store.conftest import ORIGIN

INDEXED = {"note": TypeSpec(name="note", index=("n",))}
BARE = {"note": TypeSpec(name="note")}


def test_s21_a_declared_index_outlives_its_writer(folder: Path, clock: ManualClock) -> None:
    """It is in the file, for the next writer and for every reader; it goes with its declaration, and the order too."""
    asked = "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND name LIKE 'field_%'"
    for types, expected in ((INDEXED, 1), (INDEXED, 1), (BARE, 0), (INDEXED, 1)):
        with Store.open(folder, types=types, origin=ORIGIN, clock=clock) as store:
            store.commit([Change(type="note", key=key, value={"n": n}) for n, key in enumerate("cab")])
            assert [(expected,)] == store.rows(asked)
        with Reader.open(folder, types=types) as reader:
            assert [(expected,)] == reader.rows(asked)
            if expected:
                assert ["c", "a", "b"] == [one.key for one in reader.records("note", limit=5, order="n").records]
            else:
                with pytest.raises(BadRequest):
                    reader.records("note", limit=5, order="n")

"""Every test here runs once for each way to have a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.model.clock import ManualClock
from tests.contracts.keepers import KEEPERS, Keeper, Kept


@pytest.fixture
def clock() -> ManualClock:
    """A clock at a fixed moment."""
    return ManualClock()


@pytest.fixture(params=sorted(KEEPERS))
def keeper(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Keeper]:
    """A new store, kept in each way."""
    folder = tmp_path / "notes"
    folder.mkdir(mode=0o700)
    made = KEEPERS[request.param](folder, clock)
    yield made
    made.close()


@pytest.fixture
def store(keeper: Keeper) -> Kept:
    """A session on it."""
    return keeper.session()

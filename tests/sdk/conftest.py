"""A core for each test, and the miniature connectors that it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.sdk.testing import FakeCore

CONNECTORS = Path(__file__).parent / "connectors"


@pytest.fixture
def core(tmp_path: Path) -> Iterator[FakeCore]:
    """The core's side of the contract over a scratch folder."""
    with FakeCore(tmp_path) as core:
        yield core


@pytest.fixture
def connectors() -> Path:
    """The folder of the miniature connectors."""
    return CONNECTORS

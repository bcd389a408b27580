"""The small checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.environment.checkout import Checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout that was never started."""
    return Checkout(tmp_path / "locker")

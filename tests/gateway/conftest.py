"""A core with a child that tells what it was asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.house import Backends, Core, RawChild, echo


@pytest.fixture
def echoing(tmp_path: Path) -> Iterator[tuple[Core, RawChild]]:
    """A core with an echoing child named foo."""
    with RawChild(echo) as child, Core(Backends({"foo": child.port}), tmp_path) as core:
        yield core, child

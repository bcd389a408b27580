"""A supervisor's yard, with and without the warm parent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.process import Zygote
from tests.process.yard import Yard, warm_parent


@pytest.fixture(params=["zygote", "plain"])
def way(request: pytest.FixtureRequest) -> str:
    """How children are made: forked from the warm parent, or spawned plainly as on other systems."""
    return str(request.param)


@pytest.fixture
def zygote(way: str) -> Iterator[Zygote | None]:
    """A warm parent where the test runs with one."""
    if way == "plain" or not Zygote.is_possible():
        yield None
        return
    parent = warm_parent("http.server", "json")
    yield parent
    parent.close()


@pytest.fixture
def make_yard(tmp_path: Path, zygote: Zygote | None) -> Callable[..., Yard]:
    """Makes a yard over this test's own Me."""

    def make(**options: Any) -> Yard:
        me = tmp_path / "Me"
        me.mkdir(exist_ok=True)
        return Yard(me, zygote=zygote, **options)

    return make

"""A command line over a scratch Me, with or without a core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.cli import main
from tests.cli.fake_core import FakeCore, running


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Locker = Callable[..., Done]


@pytest.fixture
def me(tmp_path: Path) -> Path:
    """A Me that is not there yet."""
    return tmp_path / "Me"


@pytest.fixture
def locker(me: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Locker:
    """Run a command as the terminal would; `LOCKER_ME` names the scratch Me."""
    monkeypatch.setenv("LOCKER_ME", str(me))
    monkeypatch.setenv("LOCKER_CONFIG", str(me.parent))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture
def core(me: Path) -> Iterator[FakeCore]:
    """A fake core over the scratch Me."""
    with running(me) as fake:
        yield fake

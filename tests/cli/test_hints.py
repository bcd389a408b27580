"""Commands that hints name can be copied: they are over the Me of the command line that they answer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from core.model.errors import NotFound
from core.model.problem import problem_document
from tests.cli.conftest import Locker
from tests.cli.fake_core import FakeCore, running
from tests.cli.test_docs_commands import parsed
from tests.fakes.house import ROOT

HINT = re.compile(r"python3 locker\.py.*")


@pytest.fixture
def asked(locker: Locker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The words of the one command that the answer names, when --me and --config are said and no variable is set."""
    monkeypatch.delenv("LOCKER_ME")
    monkeypatch.delenv("LOCKER_CONFIG")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my config").mkdir()

    def ask(*words: str, me: str = "my data", first: bool = False) -> list[str]:
        places = ["--me", me, "--config", "my config"]
        done = locker(*places, *words) if first else locker(*words, *places)
        (hint,) = HINT.findall(done.out + done.err)
        return shlex.split(hint)[2:]

    return ask


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["logs"], "run"),
        (["logs", "feeds"], "list"),
        (["logs", "notes"], "status"),
        (["sync", "No Such"], "list"),
        (["list"], "run"),
        (["import", "./x"], "list"),
    ],
)
def test_a_hint_without_a_core_is_over_the_same_me(
    asked: Callable[..., list[str]], tmp_path: Path, words: list[str], named: str, first: bool
) -> None:
    """Wherever the places stand in the command line; what was said from this folder holds in any."""
    (tmp_path / "my data" / "notes").mkdir(parents=True)
    if words[0] == "import":
        words = [*words, "--into", "No Such"]
    hint = asked(*words, first=first)

    assert [named] == parsed(hint)
    assert ["--me", str(tmp_path / "my data")] == hint[hint.index("--me") :][:2]
    assert ["--config", str(tmp_path / "my config")] == hint[hint.index("--config") :][:2]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["sync", "nosuch"], ["list"]),
        (["install", "nosuch"], ["list"]),
        (["token", "revoke", "nosuch"], ["token", "list"]),
    ],
)
def test_a_hint_beside_a_core_is_over_the_same_me(
    asked: Callable[..., list[str]], tmp_path: Path, words: list[str], named: list[str]
) -> None:
    """What the core does not know is listed over the Me that was asked."""
    with running(tmp_path / "my data") as core:
        core.answer("GET", "/map", {"installed": {}})
        hint = asked(*words)

    assert named == parsed(hint)
    assert ["--me", str(tmp_path / "my data")] == hint[hint.index("--me") :][:2]


def test_a_hint_names_no_place_that_was_not_said(locker: Locker, core: FakeCore) -> None:
    """A variable that names the folder goes on doing so."""
    core.answer("POST", "/core/x/install", problem_document(NotFound("there is no x", remedy="GET /y")), status=404)

    assert ["python3 locker.py list --available"] == HINT.findall(locker("install", "x").err)


def test_no_hint_is_written_without_its_places() -> None:
    """Each is made by one function; those that stand as they are need no Me, or name the one that they need."""
    bare = {
        line.strip()
        for path in (ROOT / "core").rglob("*.py")
        if path.name != "commands.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if HINT.search(line) and not re.search(r"locker\.py (test|bench)|--me ", line)
    }

    assert set() == bare

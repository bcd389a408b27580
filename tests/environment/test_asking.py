"""locker.py asked for words only: whatever is installed answers, and nothing is installed for it."""

from __future__ import annotations

import re

import pytest

from core.cli.command_line import COMMANDS
from core.cli.trials import bench_names
from tests.environment.checkout import ROOT, Checkout


@pytest.mark.parametrize("asked", ["--help", "-h", "test --help", "bench --help", "bench -h", "install --help"])
def test_help_installs_nothing(checkout: Checkout, asked: str) -> None:
    """On a machine with nothing but Python the usage is printed, with every command, and no folder is made."""
    done = checkout.start(*asked.split())

    assert (0, "") == (done.returncode, done.stderr)
    assert list(COMMANDS) == re.findall(r"^Commands: (.*)$", done.stdout, flags=re.M)[0].split(", ")
    assert [] == list(checkout.folder.glob(".venv*"))


def test_benches_are_listed_without_anything(checkout: Checkout) -> None:
    """Their names are those of the files."""
    (checkout.folder / "tests" / "bench").mkdir()
    for path in (ROOT / "tests" / "bench").glob("*.py"):
        (checkout.folder / "tests" / "bench" / path.name).touch()

    assert bench_names() == checkout.start("bench", "--list").stdout.split()
    assert [] == list(checkout.folder.glob(".venv*"))


@pytest.mark.parametrize("asked", ["test --help", "bench --help", "bench --list"])
def test_what_run_uses_answers_for_test_and_bench(checkout: Checkout, asked: str) -> None:
    """Once Locker was started, its own environment tells their options; theirs is not made."""
    checkout.told()
    told = checkout.told(*asked.split())

    assert (str(checkout.environment), asked.split()) == (told["prefix"], told["arguments"])
    assert [] == list(checkout.folder.glob(".venv.test")) + list(checkout.folder.glob(".venv.bench"))


def test_help_among_pytest_s_arguments_is_pytest_s(checkout: Checkout) -> None:
    """What follows other arguments of `test` is not for Locker."""
    checkout.told()
    (checkout.folder / "tests" / "requirements.txt").write_text((checkout.folder / "requirements.txt").read_text())

    assert str(checkout.folder / ".venv.test") == checkout.told("test", "tests/cli", "--help")["prefix"]

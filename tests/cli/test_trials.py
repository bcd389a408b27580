"""test and bench: what they start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli import exits
from core.cli.trials import SLOW_REPORT, bench_names, pytest_arguments
from tests.cli.conftest import Locker

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("slow", "given", "expected"),
    [
        (False, [], []),
        (False, ["tests/cli", "-x"], ["tests/cli", "-x"]),
        (True, [], ["--slow", f"--slow-report={SLOW_REPORT}"]),
        (True, ["-n", "2"], ["--slow", f"--slow-report={SLOW_REPORT}", "-n", "2"]),
        (True, ["tests/cli"], ["--slow", "tests/cli"]),
    ],
)
def test_what_pytest_is_called_with(slow: bool, given: list[str], expected: list[str]) -> None:
    """Arguments pass through; only a whole slow run writes the report."""
    assert expected == pytest_arguments(slow=slow, arguments=given)


def locker_test(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `test` as a process of its own, which pytest then takes over."""
    return subprocess.run(
        [sys.executable, "-m", "core.cli", "test", *arguments], cwd=ROOT, env={**os.environ, **variables}, text=True,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip


def test_output_ends_in_pytest_s_summary() -> None:
    """What runs is pytest itself, without the owner's own settings."""
    done = locker_test("tests/cli/test_exits.py", "-q", "-p", "no:cacheprovider", LOCKER_NONSENSE="1")

    assert (0, "") == (done.returncode, done.stderr)
    assert " passed in " in done.stdout.splitlines()[-1]


def test_the_code_is_pytest_s() -> None:
    """A path that is not there is a fault of usage in pytest's own words."""
    assert 4 == locker_test("tests/cli/test_nowhere.py", "-q", "-p", "no:cacheprovider").returncode


def test_a_skip_fails_where_nothing_may_be_skipped(tmp_path: Path) -> None:
    """With everything installed, a skip would hide something."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_it.py").write_text(
        "from tests.conftest import requires_program\n\ndef test_it():\n    requires_program('no-such', 'apt it')\n"
    )
    arguments = ["-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", f"--confcutdir={tmp_path}", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *arguments]
    codes = [
        subprocess.run(command, cwd=ROOT, env={**os.environ, **more}, capture_output=True, check=False).returncode
        for more in ({"TESTS_NOTHING_SKIPPED": ""}, {"TESTS_NOTHING_SKIPPED": "1"})
    ]

    assert [0, 1] == codes


def test_an_unknown_bench_is_refused(locker: Locker) -> None:
    """Nothing is run when one name is wrong."""
    done = locker("bench", "no_such_bench")

    assert exits.REFUSED == done.code


def test_a_bench_that_was_killed_is_a_failure(locker: Locker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number is below zero, and the next one's success must not hide it."""
    codes = iter((-9, 0))
    monkeypatch.setattr("subprocess.run", lambda command, **_: subprocess.CompletedProcess(command, next(codes)))

    assert exits.FAILED == locker("bench", *bench_names()[:2]).code


def test_benches_are_listed(locker: Locker) -> None:
    """By the names that `bench` takes."""
    assert bench_names() == locker("bench", "--list").out.split()

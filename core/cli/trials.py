"""`test` and `bench`: what the project claims, tried on this machine."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence

import click

from core.cli import exits
from core.cli.checkout import ROOT
from core.cli.screen import say
from core.model.errors import NotFound, UserActionNeeded

BENCHES = ROOT / "tests" / "bench"
SLOW_REPORT = ROOT / "docs" / "slow.md"
PASSED_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(context_settings=PASSED_ON)
@click.option("--slow", is_flag=True, help="Run the long tests too, and write their report to docs/slow.md.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PYTEST ARGUMENTS]")
def test(slow: bool, arguments: tuple[str, ...]) -> None:
    """Run the tests; further arguments go to pytest."""
    if importlib.util.find_spec("pytest") is None:
        raise UserActionNeeded("This environment has no pytest.", remedy="Start it with: python3 locker.py test")
    _become([sys.executable, "-m", "pytest", *pytest_arguments(slow=slow, arguments=arguments)])


def pytest_arguments(*, slow: bool, arguments: Sequence[str]) -> list[str]:
    """What pytest is called with. Only a run of everything writes the report: a part of it would tell half."""
    if not slow:
        return list(arguments)
    is_whole = all(argument.startswith("-") or argument.isdecimal() for argument in arguments)
    return ["--slow", *([f"--slow-report={SLOW_REPORT}"] if is_whole else []), *arguments]


@click.command()
@click.argument("names", nargs=-1)
@click.option("--list", "is_list", is_flag=True, help="List the benches instead.")
def bench(names: tuple[str, ...], is_list: bool) -> int:
    """Run the benches NAMES, or all of them, one after the other."""
    known = bench_names()
    if is_list:
        for name in known:
            say(name)
        return exits.DONE
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NotFound(f"There is no bench {unknown[0]!r}.", remedy="See: python3 locker.py bench --list")
    # One interpreter for each: what one loads must not weigh on the next.
    codes = [
        subprocess.run(
            [sys.executable, "-m", f"tests.bench.{name}"], cwd=ROOT, env=_environment(), check=False
        ).returncode
        for name in names or known
    ]
    return exits.FAILED if any(codes) else exits.DONE


def bench_names() -> list[str]:
    """The benches: every module of tests/bench that does not begin with an underscore."""
    return sorted(path.stem for path in BENCHES.glob("*.py") if not path.stem.startswith("_"))


def _become(command: list[str]) -> None:
    """Let the command take this process's place, in the checkout."""
    os.chdir(ROOT)
    os.execve(command[0], command, _environment())  # noqa: S606 - our own interpreter


def _environment() -> dict[str, str]:
    """This environment without the owner's own settings: they are no part of what is tried."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LOCKER_")}


COMMANDS = {"test": test, "bench": bench}

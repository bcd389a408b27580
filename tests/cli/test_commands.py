"""The command line as a whole: every command explains itself and stands in the docs, and no other does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from core.cli import exits
from core.cli.command_line import COMMANDS, commands
from core.config import load_config, setting_names
from tests.cli.conftest import Locker

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "cli.md").read_text()


def every_command() -> Iterator[tuple[str, click.Command]]:
    """Each command with its full name, subcommands included, groups not."""
    context = click.Context(commands)
    for name in COMMANDS:
        command = commands.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", found) for sub, found in command.commands.items())
        else:
            yield name, command


@pytest.mark.parametrize(("name", "command"), list(every_command()), ids=lambda value: str(value))
def test_every_command_has_help(name: str, command: click.Command, locker: Locker) -> None:
    """--help answers with a sentence, and every option that is not plain from its name has one too."""
    done = locker(*name.split(), "--help")

    assert 0 == done.code
    assert (command.help or "").endswith(".")
    assert [] == [p.name for p in command.params if isinstance(p, click.Option) and not p.help and p.name != "lines"]


def test_docs_and_commands_agree() -> None:
    """docs/cli.md has a row for each command, each option and each exit code, and for no other."""
    named = set(re.findall(r"^\| `([a-z]+(?: (?:new|list|revoke|serve))?)[ `]", DOCS, flags=re.M))
    in_docs = {
        option
        for row in re.findall(r"^\| (`-.*?`) \|", DOCS, flags=re.M)
        for option in re.findall(r"`(--?\w[\w-]*)", row)
    }
    options = {
        option
        for _, command in every_command()
        for param in command.params
        if isinstance(param, click.Option)
        for option in param.opts
    }
    codes = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}

    assert {name for name, _ in every_command()} == named
    assert options == in_docs
    assert codes | {10} == {int(code) for code in re.findall(r"^\| (\d+) \|", DOCS, flags=re.M)}


def test_version_and_unknown_command(locker: Locker) -> None:
    """The version is pyproject's; a word that is no command is a fault of usage."""
    version = locker("--version")

    assert (0, True) == (version.code, bool(re.fullmatch(r"Locker \d+\.\d+\.\d+\n", version.out)))
    assert exits.USAGE == locker("bogus").code
    assert exits.USAGE == locker("run", "--port", "65536").code


def test_without_a_command_it_runs(locker: Locker) -> None:
    """Options without a command are those of `run`."""
    assert "locker.py run" in locker("--port", "nonsense").err


def test_an_error_is_two_lines(locker: Locker) -> None:
    """What it is and what helps; no traceback."""
    done = locker("sync", "feeds")

    assert exits.OWNER_MUST_ACT == done.code
    assert 2 == len(done.err.splitlines())
    assert "Start it with: python3 locker.py --me" in done.err


def test_what_helps_is_said_in_the_words_of_a_terminal(locker: Locker, tmp_path: Path) -> None:
    """Not as the core advises programs, also where the command itself finds the fault."""
    (tmp_path / "settings").write_text("no JSON")
    done = locker("install", "feeds", "--settings-json", str(tmp_path / "settings"))

    assert exits.REFUSED == done.code
    assert "Correct the command; --help after it tells what it takes." == done.err.splitlines()[1]


@pytest.mark.parametrize(
    "words",
    [
        ["--me", "{}", "status"],
        ["--me={}", "status"],
        ["status", "--me", "{}"],
        ["--me", "/nowhere", "status", "--me", "{}"],
        ["--config", "/", "--me", "{}", "status"],
        ["--me", "{}", "token", "list"],
    ],
)
def test_where_things_are_may_be_said_before_the_command(locker: Locker, tmp_path: Path, words: list[str]) -> None:
    """Before the command or after it, also in front of a command of two words; what stands after it wins."""
    me = tmp_path / "elsewhere" / "Me"
    me.mkdir(parents=True)
    done = locker(*(word.format(me) for word in words))

    assert done.code in (exits.NOT_RUNNING, exits.OWNER_MUST_ACT)
    assert f"No Locker is running over {me}." in done.out + done.err


def test_where_things_are_may_be_all_that_is_said(locker: Locker) -> None:
    """Options of a place, and then those of `run`, are for `run`; a folder that is missing is said so."""
    assert "locker.py run" in locker("--me", "x", "--port", "nonsense").err
    assert "'--me' requires an argument" in locker("--me").err
    assert exits.DONE == locker("--me", "x", "--help").code


def test_each_fault_of_the_configuration_has_a_line(locker: Locker, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the last line says where to mend them."""
    monkeypatch.setenv("LOCKER_PORT", "many")
    monkeypatch.setenv("LOCKER_SPAWN", "rocket")
    *faults, cure = locker("status").err.splitlines()

    assert ["LOCKER_PORT", "LOCKER_SPAWN"] == [fault.partition(":")[0] for fault in faults]
    assert "the variables LOCKER_…" in cure


def test_the_configuration_s_example_is_the_default() -> None:
    """config/locker.toml shows every setting with its default, and sets none."""
    text = (ROOT / "config" / "locker.toml").read_text()
    lines = re.findall(r"^# (\[limits\]|\w+ = .*)$", text, flags=re.M)
    shown = [line.split(" = ")[0] for line in lines if line != "[limits]"]

    assert "" == re.sub(r"^#.*$", "", text, flags=re.M).strip()
    assert sorted(name.removeprefix("limits.") for name in setting_names()) == sorted(shown)


def test_the_configuration_s_example_loads_as_the_default(tmp_path: Path) -> None:
    """With every # taken away nothing changes, but for what depends on the machine."""
    text = (ROOT / "config" / "locker.toml").read_text()
    (tmp_path / "locker.toml").write_text(re.sub(r"^# (\[limits\]|\w+ = .*)$", r"\1", text, flags=re.M))
    example, default = (
        load_config(root=ROOT, config_dir=folder, environment={"HOME": str(tmp_path)}, overrides={"timezone": "UTC"})
        for folder in (tmp_path, ROOT / "config")
    )

    assert default.limits == example.limits
    assert (default.me, default.port, default.host) == (example.me, example.port, example.host)
    assert (default.spawn, default.open_browser) == (example.spawn, example.open_browser)
    assert default.log_level == example.log_level
    assert (default.store_port, default.store_needs_token) == (example.store_port, example.store_needs_token)


def test_a_slip_in_a_command_leads_to_the_one_that_was_meant(locker: Locker) -> None:
    """Where there is one that is like it."""
    near, far = locker("statsu"), locker("zzzzzz")

    assert (exits.USAGE, exits.USAGE) == (near.code, far.code)
    assert "No such command 'statsu'. Did you mean 'status'?" in near.err
    assert "No such command 'zzzzzz'.\n" in far.err


def test_each_command_is_told_whole_in_the_list(locker: Locker, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal of eighty columns."""
    monkeypatch.setenv("COLUMNS", "80")

    assert "..." not in locker("--help").out.partition("Commands:")[2]


def test_what_went_wrong_is_a_whole_sentence(locker: Locker, me: Path) -> None:
    """With its full stop, wherever it was worded."""
    assert f"{me} holds nothing to back up." == locker("backup", "x.tar", "--without-secrets").err.splitlines()[0]

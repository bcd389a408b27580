"""The command line: finds the command, runs it, and turns whatever ends it into words and an exit code."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from core.cli import exits
from core.cli.checkout import version
from core.cli.cures import cure_of
from core.cli.login_token import take_login_token
from core.cli.screen import ended, plain
from core.model.errors import ConfigInvalid, LockerError

PROGRAM = "locker.py"
DEFAULT = "run"
OWN_OPTIONS = ("-h", "--help", "--version")
PLACES = ("--me", "--config")
# A command's module is loaded when the command is called: --version need not pay for what the others import.
COMMANDS = {
    "run": "core.cli.run",
    "status": "core.cli.services",
    "list": "core.cli.services",
    "install": "core.cli.services",
    "uninstall": "core.cli.services",
    "enable": "core.cli.switching",
    "disable": "core.cli.switching",
    "sync": "core.cli.sync",
    "search": "core.cli.search",
    "logs": "core.cli.logs",
    "token": "core.cli.tokens",
    "export": "core.cli.transfers",
    "import": "core.cli.transfers",
    "backup": "core.cli.backups",
    "restore": "core.cli.backups",
    "store": "core.cli.wire",
    "doctor": "core.cli.doctor",
    "test": "core.cli.trials",
    "bench": "core.cli.trials",
}


@dataclass(frozen=True)
class Session:
    """What this process was given beside its arguments."""

    login_token: str | None = field(repr=False)


class Commands(click.Group):
    """The commands by name, each loaded when needed; without a name, `run`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        if cmd_name not in COMMANDS:
            return None
        commands: dict[str, click.Command] = importlib.import_module(COMMANDS[cmd_name]).COMMANDS
        return commands[cmd_name]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and (meant := difflib.get_close_matches(args[0], COMMANDS, n=1)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {meant[0]!r}?")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        before = places_before(args)
        places, rest = args[:before], args[before:]
        is_own = bool(rest) and (rest[0] in OWN_OPTIONS or not rest[0].startswith("-"))
        return super().parse_args(ctx, args if is_own or before > len(args) else [*places, DEFAULT, *rest])


def places_before(arguments: Sequence[str]) -> int:
    """How many words at the beginning say where things are; one more than there are when a folder is missing.

    >>> places_before(["--me", "x", "status"]), places_before(["--me=x", "--port", "1"]), places_before(["--me"])
    (2, 1, 2)
    """
    count = 0
    while count < len(arguments) and arguments[count].partition("=")[0] in PLACES:
        count += 1 if "=" in arguments[count] else 2
    return count


def _show_version(ctx: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        click.echo(f"Locker {version()}")
        ctx.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Locker brings a copy of your data home and keeps it alive. Without a command: run.",
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version."
)
@click.option("--me", type=click.Path(path_type=Path), metavar="DIR", help="The folder that holds your data.")
@click.option(
    "--config", "config_dir", type=click.Path(path_type=Path), metavar="DIR", help="The folder with locker.toml."
)
def commands(me: Path | None, config_dir: Path | None) -> None:
    """Every command of Locker; where things are may be said before a command's name as well as after it."""


def main(arguments: Sequence[str]) -> int:
    """Run one command line to its end; the exit code for the shell."""
    try:
        session = Session(take_login_token(os.environ))
        result = commands.main(list(arguments), prog_name=PROGRAM, standalone_mode=False, obj=session)
    except LockerError as err:
        # Faults of the configuration are many and ours; nobody else's words may take more than a line.
        said = err.detail.splitlines() if isinstance(err, ConfigInvalid) else [ended(err.detail)]
        click.echo("\n".join(plain(line) for line in (*said, cure_of(err))), err=True)
        return exits.exit_code(err)
    except click.ClickException as err:
        err.show()
        return err.exit_code
    except (click.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough; nothing of it may be flushed to nobody at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.DONE
    return result if isinstance(result, int) else exits.DONE

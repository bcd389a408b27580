"""Options that several commands share, and the configuration that they lead to."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from core.cli.checkout import ROOT
from core.cli.hints import see
from core.config import Config, load_config
from core.model.errors import FolderUnusable, NotFound
from core.model.ids import is_service_id

Command = TypeVar("Command", bound=Callable[..., Any])


def _said_before(name: str) -> Callable[[], object]:
    """What stands before the command's name counts where nothing stands after it."""
    return lambda: click.get_current_context().find_root().params.get(name)


# Taken before all else, since what is wrong with the rest is answered with commands over the same Me.
_me = click.option(
    "--me", type=click.Path(path_type=Path), metavar="DIR", is_eager=True, default=_said_before("me"),
    help="The folder that holds your data.",
)  # fmt: skip
_config = click.option(
    "--config", "config_dir", type=click.Path(path_type=Path), metavar="DIR", is_eager=True,
    default=_said_before("config_dir"), help="The folder with locker.toml.",
)  # fmt: skip


def _known_form(_context: click.Context, _argument: click.Parameter, service_id: str) -> str:
    if not is_service_id(service_id):
        raise NotFound(f"There is no service {service_id[:64]!r}.", remedy=see("list"))
    return service_id


of_service = click.argument("service_id", metavar="ID", callback=_known_form)
as_json = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")


def placed(command: Command) -> Command:
    """Give a command --me and --config."""
    return _me(_config(command))


def read_config(me: Path | None, config_dir: Path | None, **overrides: object) -> Config:
    """The configuration as this command line, the environment and locker.toml make it.

    Links in the way to Me are followed here, once: the core and every command then mean one folder by one name.
    Raises ConfigInvalid, and FolderUnusable for a link that leads nowhere.
    """
    given = {"me": me, **overrides}
    config = load_config(root=ROOT, config_dir=config_dir, environment=os.environ, overrides=given)
    try:
        return dataclasses.replace(config, me=config.me.resolve())
    except (OSError, RuntimeError) as err:  # A loop of links is a RuntimeError up to Python 3.12.
        raise FolderUnusable(f"{config.me} cannot be followed: it is a loop of links") from err

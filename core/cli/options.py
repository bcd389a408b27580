"""Options that several commands share, and the configuration that they lead to."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from core.cli.checkout import ROOT
from core.config import Config, load_config
from core.model.errors import FolderUnusable

Command = TypeVar("Command", bound=Callable[..., Any])

_me = click.option("--me", type=click.Path(path_type=Path), metavar="DIR", help="The folder that holds your data.")
_config = click.option(
    "--config", "config_dir", type=click.Path(path_type=Path), metavar="DIR", help="The folder with locker.toml."
)
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

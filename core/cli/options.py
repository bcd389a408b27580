"""Options that several commands share, and the configuration that they lead to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from core.cli.checkout import ROOT
from core.config import Config, load_config

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
    """The configuration as this command line, the environment and locker.toml make it."""
    given = {"me": me, **overrides}
    return load_config(root=ROOT, config_dir=config_dir, environment=os.environ, overrides=given)

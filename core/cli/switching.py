"""`enable`, `disable`: a service switched on, with the packages that its connector requires, and off."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from core.cli import exits
from core.cli.conditions import trouble_of
from core.cli.options import as_json, of_service, placed, read_config
from core.cli.running_core import connect
from core.cli.screen import say, show_json
from core.cli.trouble import show_trouble

# Packages may have to be fetched; a child may take its time to end.
ON_S_MAX = 600.0
OFF_S_MAX = 60.0


@click.command(short_help="Switch the service ID on.")
@of_service
@placed
@as_json
def enable(service_id: str, me: Path | None, config_dir: Path | None, as_json: bool) -> int:
    """Switch the service ID on; what its connector requires is installed, though the service be on."""
    core = connect(read_config(me, config_dir).me)
    service = core.ask("POST", f"/core/{service_id}/enable", wait_s=ON_S_MAX)
    _tell(service, f"{service_id} is on.", as_json=as_json)
    return exits.DONE if service.get("trouble") is None else exits.FAILED


@click.command(short_help="Switch the service ID off; what it holds stays.")
@of_service
@placed
@as_json
def disable(service_id: str, me: Path | None, config_dir: Path | None, as_json: bool) -> None:
    """Switch the service ID off: it does not sync, and nobody can reach it; what it holds stays."""
    core = connect(read_config(me, config_dir).me)
    service = core.ask("POST", f"/core/{service_id}/disable", wait_s=OFF_S_MAX)
    _tell(service, f"{service_id} is off. What it holds stays.", as_json=as_json)


def _tell(service: Mapping[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        show_json(service)
        return
    say(sentence)
    trouble = trouble_of(service)
    if trouble is not None:
        show_trouble(service["id"], trouble)


COMMANDS = {"enable": enable, "disable": disable}

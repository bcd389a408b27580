"""`status`, `list`, `install`, `uninstall`: the services as their owner decides them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import click

from core.cli import exits
from core.cli.options import as_json, placed, read_config
from core.cli.running_core import connect, find, login_url
from core.cli.screen import say, show_json, show_table
from core.model.errors import BadRequest


@click.command()
@placed
@as_json
def status(me: Path | None, config_dir: Path | None, as_json: bool) -> int:
    """Tell whether Locker runs, a fresh address to log in at, and how each service is."""
    config = read_config(me, config_dir)
    core = find(config.me)
    if core is None:
        show_json({"running": False, "me": str(config.me)}) if as_json else say(
            f"No Locker is running over {config.me}."
        )
        return exits.NOT_RUNNING
    services, address = core.get("/map")["installed"], login_url(config.me)
    if as_json:
        told = {"running": True, "me": str(config.me), "url": core.url, "login_url": address}
        show_json({**told, "services": services})
        return exits.DONE
    say(f"Locker runs over {config.me} and answers programs at {core.url}.")
    say(f"To log in, open once, within the hour: {address}")
    rows = [(s["id"], "off" if not s["enabled"] else s["state"], s["reason"]) for s in services.values()]
    show_table(("service", "state", "reason"), rows, empty="No service is installed.")
    return exits.DONE


@click.command("list")
@placed
@click.option("--available", is_flag=True, help="List what could be installed instead.")
@as_json
def list_(me: Path | None, config_dir: Path | None, available: bool, as_json: bool) -> None:
    """List the installed services."""
    core = connect(read_config(me, config_dir).me)
    if available:
        _list_available(core.get("/available"), as_json=as_json)
        return
    services = list(core.get("/map")["installed"].values())
    if as_json:
        show_json(services)
        return
    rows = [(s["id"], s["title"], s["connector"], s["account"] or "", ", ".join(s["provides"])) for s in services]
    show_table(("service", "title", "connector", "account", "provides"), rows, empty="No service is installed.")


def _list_available(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(answer)
        return
    rows = [(c["name"], c["title"], c["description"]) for c in answer["connectors"]]
    show_table(("connector", "title", "what it brings"), rows, empty="No connector was found.")
    faulty = [(f["folder"], "; ".join(f["faults"])) for f in answer["faults"]]
    if faulty:
        show_table(("folder that cannot be used", "why"), faulty, empty="")


@click.command()
@click.argument("connector")
@placed
@click.option("--id", "service_id", metavar="ID", help="The service's id, if not the connector's name.")
@click.option("--title", help="What to call it.")
@click.option(
    "--setting",
    "pairs",
    multiple=True,
    metavar="NAME=TEXT|NAME:=JSON",
    help="A setting as text, or as JSON; repeat it.",
)
@click.option("--settings-json", metavar="FILE", type=click.File(), help="All settings from a JSON file; - is stdin.")
@as_json
def install(
    connector: str, me: Path | None, config_dir: Path | None, service_id: str | None, title: str | None,
    pairs: tuple[str, ...], settings_json: TextIO | None, as_json: bool,
) -> None:  # fmt: skip
    """Install CONNECTOR as a service."""
    settings = settings_from(settings_json.read() if settings_json else "{}", pairs)
    core = connect(read_config(me, config_dir).me)
    body = {"connector": connector, "settings": settings, **({"title": title} if title else {})}
    service = core.ask("POST", f"/core/{service_id or connector}/install", body=body)
    if as_json:
        show_json(service)
        return
    say(f"Installed {service['id']}. Its page: {core.page('/services/' + service['id'])}")


def settings_from(document: str, pairs: Sequence[str]) -> dict[str, Any]:
    """The settings of a JSON document with those of the command line laid over them.

    >>> settings_from('{"url": "a", "depth": 1}', ["url=b", "depth:=2"])
    {'url': 'b', 'depth': 2}
    """
    try:
        settings = json.loads(document)
    except ValueError as err:
        raise BadRequest(f"The settings are not JSON: {err}.") from err
    if not isinstance(settings, dict):
        raise BadRequest("The settings are not a JSON object.")
    return settings | dict(_setting(pair) for pair in pairs)


def _setting(pair: str) -> tuple[str, Any]:
    name, equals, text = pair.partition("=")
    if not equals or not name.rstrip(":"):
        raise BadRequest(f"{pair!r} is no setting.", remedy="Write name=text, or name:=JSON for anything but text.")
    if not name.endswith(":"):
        return name, text
    try:
        return name[:-1], json.loads(text)
    except ValueError as err:
        # The value may be a secret: only the name is repeated.
        raise BadRequest(f"What follows {name}= is not JSON: {err}.") from err


@click.command()
@click.argument("service_id", metavar="ID")
@placed
@click.option("--everything", is_flag=True, help="Erase its data too: records, history, files, sign-in.")
@click.option("--yes", is_flag=True, help="Do not ask before erasing.")
@as_json
def uninstall(
    service_id: str, me: Path | None, config_dir: Path | None, everything: bool, yes: bool, as_json: bool
) -> None:
    """Remove the service ID; its data stays unless --everything."""
    core = connect(read_config(me, config_dir).me)
    if everything and not yes:
        if not sys.stdin.isatty():
            raise BadRequest("Erasing is asked for, and nobody is there to confirm it.", remedy="Add --yes.")
        click.confirm(f"Erase everything that {service_id} has brought home?", abort=True, err=True)
    gone = core.ask("POST", f"/core/{service_id}/uninstall", body={"data": "erase" if everything else "keep"})
    if as_json:
        show_json(gone)
        return
    say(f"{service_id} is uninstalled; its data is {'erased' if everything else 'kept'}.")


COMMANDS = {"status": status, "list": list_, "install": install, "uninstall": uninstall}

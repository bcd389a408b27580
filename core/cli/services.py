"""`status`, `list`, `install`, `uninstall`: the services as their owner decides them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import click

from core.backup import restore_notices
from core.cli import exits
from core.cli.conditions import Condition, condition_of
from core.cli.connectors import connectors_of
from core.cli.hints import see, typed
from core.cli.neighbours import running_places
from core.cli.options import as_json, of_service, placed, read_config
from core.cli.running_core import RunningCore, class_of, connect, find, login_url, way_to_a_core
from core.cli.screen import plain, say, show_json, show_table, warn
from core.cli.sync import Runs, are_over, are_well, run_streams, show_runs
from core.cli.trouble import show_trouble
from core.config import Config
from core.model.clock import SystemClock
from core.model.errors import BadRequest, LockerError, Reauthorise, SettingsInvalid, UserActionNeeded
from core.model.ids import ID_RULE, check_service_id, is_service_id, proposed_id
from core.store import Reader

TITLE_LENGTH_MAX = 80
FIRST_SYNC_S_MAX = 60
# Packages may have to be fetched.
INSTALL_S_MAX = 600.0
RUNS_READ = 100
CLOCK = SystemClock()


@click.command(short_help="Tell whether Locker runs, and how each service is.")
@placed
@as_json
def status(me: Path | None, config_dir: Path | None, as_json: bool) -> int:
    """Tell whether Locker runs, a fresh address to log in at, and how each service is."""
    config = read_config(me, config_dir)
    core, notices = find(config.me), restore_notices(config.me)
    if core is None:
        if as_json:
            show_json({"running": False, "me": str(config.me), "notices": notices})
        else:
            say("\n".join([f"No Locker is running over {config.me}.", *notices]))
            say(f"{way_to_a_core(config.me, running_places())}")
        return exits.NOT_RUNNING
    services, address = conditions(core, config), login_url(config.me)
    if as_json:
        told = {"running": True, "me": str(config.me), "url": core.url, "login_url": address, "notices": notices}
        show_json({**told, "services": {record["id"]: record | how.document() for record, how in services}})
        return exits.DONE
    say(f"Locker runs over {config.me} and answers programs at {core.url}.")
    for notice in notices:
        say(notice)
    say(f"To log in, open once, within the hour: {address}")
    rows = [(s["id"], how.state, how.last_sync, how.next_sync, how.records) for s, how in services]
    show_table(("service", "state", "last sync", "next sync", "records"), rows, empty="No service is installed.")
    for service, how in services:
        if how.trouble is not None:
            show_trouble(service["id"], how.trouble)
    return exits.DONE


def conditions(core: RunningCore, config: Config) -> list[tuple[dict[str, Any], Condition]]:
    """Every installed service as the core tells it, and how it is."""
    return [(record, condition_of(core, config.me, record)) for record in core.get("/map")["installed"].values()]


@click.command("list")
@placed
@click.option("--available", is_flag=True, help="List what could be installed instead.")
@as_json
def list_(me: Path | None, config_dir: Path | None, available: bool, as_json: bool) -> None:
    """List the installed services."""
    config = read_config(me, config_dir)
    if available:
        running = find(config.me)
        _list_available(running.get("/available") if running else available_in(config), as_json=as_json)
        return
    core = connect(config.me)
    services = conditions(core, config)
    if as_json:
        show_json([record | how.document() for record, how in services])
        return
    rows = [
        (s["id"], s["title"], s["connector"], s["account"] or "", how.last_sync, how.next_sync, how.records)
        for s, how in services
    ]
    columns = ("service", "title", "connector", "account", "last sync", "next sync", "records")
    show_table(columns, rows, empty="No service is installed.")


def available_in(config: Config) -> dict[str, Any]:
    """What could be installed, read from the folders themselves: no core need run for that."""
    catalog = connectors_of(config)
    connectors = sorted(catalog.entries().values(), key=lambda manifest: manifest.name)
    return {
        "connectors": [{"name": c.name, "title": c.title, "description": c.description} for c in connectors],
        "faults": [{"name": f.name, "folder": str(f.folder), "faults": list(f.faults)} for f in catalog.faults()],
    }


def _list_available(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(answer)
        return
    rows = [(c["name"], c["title"], c["description"]) for c in answer["connectors"]]
    show_table(("connector", "title", "what it brings"), rows, empty="No connector was found.")
    faulty = [(f["folder"], "; ".join(f["faults"])) for f in answer["faults"]]
    if faulty:
        show_table(("folder that cannot be used", "why"), faulty, empty="")


def _fitting_title(_context: click.Context, _option: click.Parameter, title: str | None) -> str | None:
    if title is not None and not 1 <= len(title) <= TITLE_LENGTH_MAX:
        raise BadRequest(
            f"The title has {len(title)} characters.", remedy=f"Give it 1 to {TITLE_LENGTH_MAX} characters."
        )
    return title


@click.command(short_help="Install CONNECTOR as a service, and sync it.")
@click.argument("connector")
@placed
@click.option("--id", "service_id", metavar="ID", help="The service's id, if not the connector's name.")
@click.option("--title", callback=_fitting_title, help="What to call it.")
@click.option(
    "--setting",
    "pairs",
    multiple=True,
    metavar="NAME=TEXT|NAME:=JSON",
    help="A setting as text, or as JSON; repeat it.",
)
@click.option("--settings-json", metavar="FILE", type=click.File(), help="All settings from a JSON file; - is stdin.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the first sync.")
@as_json
def install(
    connector: str, me: Path | None, config_dir: Path | None, service_id: str | None, title: str | None,
    pairs: tuple[str, ...], settings_json: TextIO | None, no_wait: bool, as_json: bool,
) -> int:  # fmt: skip
    """Install CONNECTOR as a service, and tell what its first sync brings."""
    settings = settings_from(settings_json.read() if settings_json else "{}", pairs)
    config = read_config(me, config_dir)
    core = connect(config.me)
    body = {"connector": connector, "settings": settings, **({"title": title} if title else {})}
    path = f"/core/{_fitting_id(connector, service_id)}/install"
    asked_at = CLOCK.now()
    try:
        service = core.ask("POST", path, body=body, wait_s=INSTALL_S_MAX, unknown=_seek_connector(connector))
    except SettingsInvalid as err:
        if err.remedy != SettingsInvalid.default_remedy:
            raise
        form = core.page(f"/install/{connector}")
        raise SettingsInvalid(
            err.detail, remedy=f"Nothing was installed. Correct --setting, or fill in the form at {form}"
        ) from err
    if not as_json:
        say(f"Installed {service['id']}. Its page: {core.page('/services/' + service['id'])}")
    waits = bool(service["streams"]) and not no_wait
    runs, fault = first_runs(core, config.me, service, since=asked_at) if waits else ([], None)
    if as_json:
        show_json({**service, "runs": runs})
    elif runs and are_over(runs):
        show_runs(runs, empty="")
    elif runs:
        say(f"Its first sync goes on; see: {typed('status')}")
    if (fault is None or is_for_owner(type(fault))) and (not are_over(runs) or all(map(_is_good_start, runs))):
        return exits.DONE
    return exits.FAILED


def is_for_owner(cls: type[LockerError] | None) -> bool:
    """Whether errors of this class wait for the owner: that is the next step of an installation, no failure of it."""
    return cls is not None and issubclass(cls, (Reauthorise, UserActionNeeded))


def _is_good_start(run: Mapping[str, Any]) -> bool:
    if run.get("status") != "held":
        return are_well([run])
    problem = run.get("problem")
    return isinstance(problem, Mapping) and is_for_owner(class_of(str(problem.get("type"))))


def _fitting_id(connector: str, service_id: str | None) -> str:
    if service_id is not None:
        check_service_id(service_id)
        return service_id
    # Of a name that is none the core tells why, whatever it is to be called.
    return connector if is_service_id(connector) else proposed_id(connector) or "unnamed"


def _seek_connector(name: str) -> str:
    """What helps where there is no connector of that name."""
    rule = "" if is_service_id(name) else f"A connector's name is {ID_RULE}. "
    return rule + see("list --available")


def first_runs(
    core: RunningCore, me: Path, service: Mapping[str, Any], *, since: float
) -> tuple[Runs, LockerError | None]:
    """What has come since the installation was asked for, when the streams have run or a minute has passed.

    Why it could not sync is told on standard error: the service is installed all the same.
    """
    try:
        runs = run_streams(core, service["id"], wait_s=FIRST_SYNC_S_MAX)
        # The core begins the first run by itself. If that one is over, joining it came too late, and what ran for us
        # found everything there already: the service's own book has both.
        if are_over(runs):
            runs = [_brought(me, service["id"], run, since=since) for run in runs]
    except LockerError as err:
        warn(f"{plain(err.detail)}\n{plain(err.remedy)}")
        return [], err
    return runs, None


def _brought(me: Path, service_id: str, run: Mapping[str, Any], *, since: float) -> Mapping[str, Any]:
    with Reader.open(me / service_id, types={}) as reader:
        runs = reader.runs(run["stream"], limit=RUNS_READ)
    # A service that is installed again keeps the book of its earlier life, and the time of its first installation.
    brought = [past for past in runs if past.started_at >= since]
    if len(brought) < 2:
        return run
    sums = {name: sum(getattr(past, name) for past in brought) for name in ("new", "updated", "deleted", "quarantined")}
    return {**run, **sums}


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
        given = name.rstrip(":") if equals else pair
        raise BadRequest(
            f"The setting {given[:64]!r} has no value." if given else "A setting has no name.",
            remedy=f"Write {given[:64] or 'name'}=text, or {given[:64] or 'name'}:=[…] for a list or any other JSON.",
        )
    if not name.endswith(":"):
        return name, text
    try:
        return name[:-1], json.loads(text)
    except ValueError as err:
        # The value may be a secret: only the name is repeated.
        raise BadRequest(f"What follows {name}= is not JSON: {err}.") from err


@click.command()
@of_service
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

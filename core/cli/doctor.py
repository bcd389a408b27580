"""`doctor`: what could keep Locker from running well here, each with its cure."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import apsw
import click
import msgspec

from core.backup import is_unfinished, restore_notices
from core.cli import exits
from core.cli.backups import held
from core.cli.checkout import ROOT
from core.cli.conditions import Condition, condition_of
from core.cli.connectors import connectors_of
from core.cli.findings import FAULT, GOOD, NOTE, Finding
from core.cli.hints import see, typed
from core.cli.inventory import gaps_in
from core.cli.logs import has_log
from core.cli.mounts import doubts_here
from core.cli.neighbours import running_places
from core.cli.options import as_json, placed, read_config
from core.cli.places import Weight
from core.cli.running_core import RunningCore, find
from core.cli.screen import plain, say, show_json
from core.cli.stores import StoreDoctor
from core.config import Config
from core.model.errors import BadRequest, ConfigInvalid, FolderUnusable, LockerError
from core.registry import REQUIREMENTS_IGNORED, ignores_requirements

SQLITE_OLDEST = (3, 51, 3)
OPEN_TO_OTHERS = 0o077
_SIGNS = {GOOD: ("✓", "green"), NOTE: ("!", "yellow"), FAULT: ("✗", "red")}


@click.command()
@placed
@click.option("--repair", "mends", is_flag=True, help="Put in order what can be without losing anything.")
@click.option(
    "--accept-salvage", "accepted", metavar="ID", help="Put what was salvaged of a damaged store in its place."
)
@click.option("--yes", is_flag=True, help="Do not ask before taking what was salvaged.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="The port that run is to be told.")
@as_json
def doctor(
    me: Path | None,
    config_dir: Path | None,
    mends: bool,
    accepted: str | None,
    yes: bool,
    port: int | None,
    as_json: bool,
) -> int:
    """Look at everything Locker stands on, and say what to mend."""
    if accepted is not None:
        return _accept(read_config(me, config_dir), accepted, yes=yes, as_json=as_json)
    findings = list(examine(me, config_dir, port=port, mends=mends))
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            sign, colour = _SIGNS[finding.level]
            click.echo(f"{click.style(sign, fg=colour)} {finding.subject}: {plain(finding.sentence)}")
            if finding.cure:
                say(f"  {plain(finding.cure)}")
    return exits.FAILED if any(finding.level == FAULT for finding in findings) else exits.DONE


def _accept(config: Config, service_id: str, *, yes: bool, as_json: bool) -> int:
    """Take what was salvaged of a damaged store, once its owner said so."""
    core = find(config.me)
    stores = StoreDoctor(config, core)
    found = stores.waiting(service_id)
    told = f"Of {service_id} {found.told_salvaged}."
    if not yes:
        if not sys.stdin.isatty():
            raise BadRequest(f"{told} Nobody is there to confirm that this is taken.", remedy="Add --yes.")
        click.confirm(f"{told} Go on with what was salvaged?", abort=True, err=True)
    with held(config.me) if core is None else contextlib.nullcontext():
        found = stores.accept(service_id)
    if as_json:
        show_json(msgspec.to_builtins(found))
    else:
        told = f"{service_id} goes on with {found.salvaged:,} facts, {found.told_lost}."
        say(plain(f"{told} What it was is kept aside: {', '.join(found.copies)}."))
    return exits.DONE


def examine(me: Path | None, config_dir: Path | None, *, port: int | None, mends: bool) -> Iterator[Finding]:
    """Everything there is to say, one thing after the other; what needs the configuration only where it is sound."""
    yield of_python()
    yield from of_packages(ROOT / "requirements.txt")
    yield of_sqlite(apsw.sqlite_lib_version())
    try:
        config = read_config(me, config_dir, port=port)
    except ConfigInvalid as err:
        for line in err.detail.splitlines():
            yield Finding(FAULT, "configuration", line, err.remedy)
        return
    except FolderUnusable as err:
        yield Finding(FAULT, "place", err.detail, err.remedy)
        return
    yield Finding(GOOD, "configuration", f"{config.config_dir} is sound.")
    yield from of_connectors(config)
    yield from of_place(config.me)
    yield from of_restore(config.me)
    yield of_room(config)
    yield from of_core(config)
    yield from of_stores(config, mends=mends)


def of_python() -> Finding:
    """The interpreter and its environment."""
    return Finding(GOOD, "python", f"{platform.python_version()} in {sys.prefix} on {platform.platform()}.")


def of_packages(requirements: Path) -> Iterator[Finding]:
    """Whether every package that Locker stands on is there as it was installed."""
    gaps = gaps_in(requirements)
    for gap in gaps:
        cure = f"Stop Locker, remove {sys.prefix} and start it again: connectors that run keep the damaged ones."
        yield Finding(FAULT, "packages", f"{gap}.", cure)
    if not gaps:
        yield Finding(GOOD, "packages", "All that are pinned are there, and whole.")


def of_sqlite(version: str) -> Finding:
    """The SQLite that stores are written with: older ones can damage a database that two connections tend."""
    if tuple(int(part) for part in version.split(".")) < SQLITE_OLDEST:
        oldest = ".".join(map(str, SQLITE_OLDEST))
        return Finding(FAULT, "sqlite", f"{version} is older than {oldest}.", "Remove .venv and start Locker again.")
    return Finding(GOOD, "sqlite", f"{version}.")


def of_place(me: Path) -> Iterator[Finding]:
    """Where Me is, and who may look into it."""
    for doubt in doubts_here(me):
        yield Finding(FAULT if doubt.weight == Weight.REFUSED else NOTE, "place", doubt.sentence, doubt.cure)
    if not me.exists():
        yield Finding(GOOD, "data", f"{me} is made at the first start.")
    elif not os.access(me, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(
            FAULT, "data", f"{me} cannot be written.", "Start Locker as its owner, or choose another: --me DIR."
        )
    elif os.name == "posix" and me.stat().st_mode & OPEN_TO_OTHERS:
        cure = f"Close it with: chmod 700 {shlex.quote(str(me))}"
        yield Finding(NOTE, "data", f"{me} can be entered by others on this machine.", cure)
    else:
        yield Finding(GOOD, "data", f"{me} is yours alone.")


def of_restore(me: Path) -> Iterator[Finding]:
    """Whether a restore was broken off, or waits for its owner's word."""
    if is_unfinished(me):
        yield Finding(FAULT, "restore", f"A restore into {me} was broken off.", "Run the same restore again.")
    for notice in restore_notices(me):
        yield Finding(NOTE, "restore", notice)


def of_room(config: Config) -> Finding:
    """How much room is left where Me is, or will be."""
    place = next(folder for folder in (config.me, *config.me.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    words = f"{free / 1024**3:.1f} GiB are free."
    if free < config.limits.disk_free_bytes_min:
        return Finding(
            FAULT, "disk", words + " Syncing pauses.", "Free some space, or lower limits.disk_free_bytes_min."
        )
    return Finding(GOOD, "disk", words)


def of_stores(config: Config, *, mends: bool) -> Iterator[Finding]:
    """Every store, looked through whoever writes it meanwhile; put in order first where that is asked."""
    if not config.me.is_dir():
        return
    try:
        core = find(config.me)
        with held(config.me) if mends and core is None else contextlib.nullcontext():
            yield from StoreDoctor(config, core).findings(mends=mends)
    except LockerError as err:
        yield Finding(FAULT, "stores", err.detail, err.remedy)


def of_core(config: Config) -> Iterator[Finding]:
    """Whether a core runs and answers; if none does, whether its port is free for one."""
    try:
        core = find(config.me)
    except LockerError as err:
        yield Finding(FAULT, "core", err.detail, err.remedy)
        return
    if core is not None:
        yield from _of_running(core, config.me)
    elif config.me in running_places():
        cure = f"Look again in a moment. If it stays so: {typed('logs')}"
        yield Finding(NOTE, "core", "It runs and does not answer: it is starting, or stopping.", cure)
    else:
        yield Finding(GOOD, "core", "It does not run.")
        yield of_port(config.host, config.port)


def _of_running(core: RunningCore, me: Path) -> Iterator[Finding]:
    try:
        installed = core.get("/map")["installed"].values()
        conditions = {service["id"]: condition_of(core, me, service) for service in installed}
    except LockerError as err:
        yield Finding(FAULT, "core", err.detail, err.remedy)
        return
    yield Finding(GOOD, "core", f"It answers at {core.url}.")
    for service_id, condition in conditions.items():
        if condition.problem:
            yield of_service(service_id, condition, has_log=has_log(me, service_id))


def of_connectors(config: Config) -> Iterator[Finding]:
    """The folders that cannot be used, and what others have that is not looked at."""
    catalog = connectors_of(config)
    for fault in catalog.faults():
        yield Finding(NOTE, fault.name, f"The folder cannot be used: {'; '.join(fault.faults)}.", fault.remedy)
    for name, manifest in catalog.entries().items():
        if ignores_requirements(manifest):
            yield Finding(NOTE, name, f"{REQUIREMENTS_IGNORED[0]}.", f"{REQUIREMENTS_IGNORED[1]}.")


def of_service(service_id: str, condition: Condition, *, has_log: bool) -> Finding:
    """What ails a service: a sync that brought a part of what there is is worth a note, everything else a fault."""
    level = NOTE if condition.is_of_sync and condition.outcome not in ("failed", "held") else FAULT
    words = f"Last sync: {condition.problem}" if condition.is_of_sync else condition.problem
    log = see(f"logs {service_id}") if has_log else ""
    return Finding(level, service_id, words, " ".join(filter(None, (condition.remedy, log))))


def of_port(host: str, port: int) -> Finding:
    """Whether the core could listen where it is told to; who does, where somebody else is there."""
    if port == 0:
        return Finding(GOOD, "port", "any that is free.")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            # As the core itself does: a connection that just ended must not look like a listener.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as err:
            # Loaded here alone: the whole house hangs on it.
            from core.assembly import listener_on

            holder = listener_on(port)
            what = f"is in use by {holder}" if holder is not None else f"cannot be had: {err.strerror}"
            return Finding(FAULT, "port", f"{host}:{port} {what}.", "Stop what has it, or use --port N.")
    return Finding(GOOD, "port", f"{host}:{port} is free.")


COMMANDS = {"doctor": doctor}

"""`export`, `import`: what stores hold, out as files that anybody can read, and in from such files."""

from __future__ import annotations

import contextlib
import os
from contextlib import ExitStack
from pathlib import Path

import click
import msgspec

from core.backup import (
    ExportDone,
    ImportDone,
    Remembered,
    Source,
    import_from,
    parquet_tables,
    refuse_inside,
    remembered,
    schema_of,
)
from core.backup import export as send
from core.cli import exits
from core.cli.backups import held, progress
from core.cli.checkout import ROOT, version
from core.cli.connectors import connectors_of
from core.cli.hints import see, typed
from core.cli.opener import OWNER, Opener
from core.cli.options import as_json, placed, read_config
from core.cli.running_core import find
from core.cli.screen import plain, say, show_json, show_table, warn
from core.config import Config
from core.model.clock import SystemClock
from core.model.errors import NotFound
from core.model.ids import is_service_id
from core.store import Forms, Imported, Reader


@click.command(short_help="Write all that is known to TARGET.")
@click.argument("target", type=click.Path(path_type=Path))
@placed
@click.option("--service", "ids", multiple=True, metavar="ID", help="Only this service; repeat it.")
@click.option(
    "--parquet", is_flag=True, help="Make Parquet tables too; what that needs is installed when first asked for."
)
@click.option("--snapshot", is_flag=True, help="Make a framed snapshot of the facts too, for other programs.")
@click.option("--no-csv", is_flag=True, help="Make no CSV tables.")
@click.option("--no-files", is_flag=True, help="Leave the binaries out.")
@as_json
def export(
    target: Path, me: Path | None, config_dir: Path | None, ids: tuple[str, ...], parquet: bool, snapshot: bool,
    no_csv: bool, no_files: bool, as_json: bool,
) -> int:  # fmt: skip
    """Write all that is known to TARGET, a folder, .tar, .tar.gz or .zip: every fact, records, tables, files."""
    config = read_config(me, config_dir)
    refuse_inside(config.me, target)
    table = None
    if parquet:
        pins = ROOT / "config" / "parquet" / "requirements.txt"
        table = parquet_tables(ROOT / ".venv.parquet", pins, environment=os.environ)
    forms = Forms(files=not no_files, csv=not no_csv, snapshot=snapshot, parquet=table)
    with ExitStack() as stack:
        sources = [_source(config, stack, *one) for one in _wanted(config.me, ids)]
        done = send(target, sources, forms=forms, clock=SystemClock(), version=version(), on_step=progress)
    progress("")
    if as_json:
        show_json(msgspec.to_builtins(done))
    else:
        _tell_export(done)
    return exits.DONE if not done.failed and all(one.is_whole for one in done.services) else exits.FAILED


def _wanted(me: Path, ids: tuple[str, ...]) -> list[tuple[str, Remembered | None]]:
    """The services to be exported, the owner's own store last; kept data counts too."""
    known = remembered(me)
    every: dict[str, Remembered | None] = dict(known)
    with Reader.open(me / OWNER, types={}) as own:
        if own.head():
            every[OWNER] = None
    for service_id in ids:
        if service_id not in every:
            raise NotFound(f"There is no service {service_id[:64]!r}.", remedy=see("list"))
    return [(service_id, one) for service_id, one in every.items() if not ids or service_id in ids]


def _source(config: Config, stack: ExitStack, service_id: str, known: Remembered | None) -> Source:
    manifest = None if known is None else connectors_of(config).entries().get(known.service.connector)
    types = dict(manifest.types) if manifest is not None else {}
    reader = stack.enter_context(Reader.open(config.me / service_id, types=types))
    schema = schema_of(None if known is None else known.service, manifest)
    return Source(id=service_id, reads=reader, types=types, schema=schema)


def _tell_export(done: ExportDone) -> None:
    rows = [(one.service, one.facts, sum(one.records.values()), one.files, one.set_aside) for one in done.services]
    show_table(("service", "facts", "records", "files", "set aside"), rows, empty="There is nothing to export.")
    for one in done.services:
        for count, what in ((len(one.damaged_facts), "facts"), (len(one.damaged_files), "files")):
            if count:
                warn(f"{one.service}: {count} {what} are damaged and were left out. {see('doctor')}")
        for name, count in one.columns_left_out.items():
            warn(plain(f"{one.service}: the tables of {name} have no columns for {count} further members."))
    for failed in done.failed:
        warn(plain(f"{failed.service} could not be exported: {failed.reason}"))
    if done.failed:
        names = ", ".join(failed.service for failed in done.failed)
        say(f"Exported to {done.path} without {names}; what is in it was read back.")
    else:
        say(f"Exported to {done.path}, read back and whole.")
    backup = typed("backup")
    say(f"Not in it: settings, sign-ins, and where each sync resumes. Those are in a backup: {backup}")


@click.command("import", short_help="Take in an export, facts, or a framed log.")
@click.argument("source", type=click.Path(path_type=Path))
@placed
@click.option(
    "--into", "into", metavar="ID", help="The service that takes the facts, where SOURCE does not say or is another's."
)
@click.option(
    "--any-hash", is_flag=True, help="Take facts whose hash is of a kind that cannot be checked here, as BLAKE3 is."
)
@as_json
def import_(
    source: Path, me: Path | None, config_dir: Path | None, into: str | None, any_hash: bool, as_json: bool
) -> int:
    """Take in SOURCE: an export, a file of facts, or a framed log or snapshot. What is there already stays."""
    config = read_config(me, config_dir)
    if into is not None and into != OWNER and not is_service_id(into):
        raise NotFound(f"There is no service {into[:64]!r}.", remedy=see("list"))
    if not source.exists():
        raise NotFound(f"There is no {source}.", remedy="Check the name.")
    known = _takers(config.me)
    core = find(config.me)
    with held(config.me) if core is None else contextlib.nullcontext():
        opener = Opener(config, known, core)
        done = import_from(source, open_store=opener.open, into=into, actor=OWNER, any_hash=any_hash)
    if as_json:
        show_json(msgspec.to_builtins(done))
    else:
        _tell_import(done)
    return exits.DONE if done.is_whole else exits.FAILED


def _takers(me: Path) -> dict[str, Remembered]:
    """The services that facts may go to; NotFound with the two ways to have some where there is no data yet."""
    try:
        return remembered(me)
    except NotFound as err:
        raise NotFound(
            f"{me} holds no data of Locker's, and an import adds to data that is there.",
            remedy="Name the folder of your data with --me. For a new one, start Locker once: "
            f"{typed(me=me)}, then install the services that take the facts; or bring a backup back: "
            f"{typed('restore FILE', me=me)}",
        ) from err


def _tell_import(done: ImportDone) -> None:
    rows = [
        (service_id, one.added, one.known, one.conflicting, one.refused + one.unreadable, one.files, one.set_aside)
        for service_id, one in done.services.items()
    ]
    columns = ("service", "new", "known", "conflicting", "refused", "files", "set aside")
    show_table(columns, rows, empty="Nothing was imported.")
    for service_id, one in done.services.items():
        _tell_problems(service_id, one)
    for service_id, reason in done.left.items():
        warn(plain(f"{service_id} was left out: {reason}"))
    for damage in done.damages:
        warn(plain(f"The archive is damaged: {damage}."))


def _tell_problems(service_id: str, one: Imported) -> None:
    for damage in one.damages:
        warn(plain(f"{service_id}: {damage}."))
    for left_out in one.told_left_out:
        warn(f"{service_id}: {left_out}.")
    for problem in one.problems:
        warn(plain(f"{service_id}: fact {problem.id} was not taken: {problem.reason}."))


COMMANDS = {"export": export, "import": import_}

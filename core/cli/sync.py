"""`sync`: run a service's streams now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from core.cli import exits
from core.cli.conditions import trouble_of
from core.cli.hints import typed
from core.cli.options import as_json, of_service, placed, read_config
from core.cli.running_core import RunningCore, connect
from core.cli.screen import say, show_json, show_table, warn
from core.cli.trouble import Trouble, show_trouble
from core.model.errors import AnswerInvalid, NotFound

WAIT_S_MAX = 600
ENDED = frozenset({"ok", "partial", "failed", "held"})
Runs = Sequence[Mapping[str, Any]]


@click.command()
@of_service
@click.argument("stream", required=False)
@placed
@click.option(
    "--wait", "wait_s", type=click.IntRange(0, WAIT_S_MAX), default=WAIT_S_MAX, metavar="SECONDS", show_default=True,
    help="How long to wait for the end; 0 only starts the run.",
)  # fmt: skip
@as_json
def sync(
    service_id: str, stream: str | None, me: Path | None, config_dir: Path | None, wait_s: int, as_json: bool
) -> int:
    """Sync the service ID, or one STREAM of it, and tell what came."""
    runs = run_streams(connect(read_config(me, config_dir).me), service_id, stream, wait_s=wait_s)
    if as_json:
        show_json({"runs": runs})
    elif are_over(runs):
        show_runs(runs, empty=f"{service_id} has nothing to sync.")
    else:
        say(f"{service_id} is syncing; its page and its log tell how it goes.")
    if not are_over(runs):
        return exits.LATER if wait_s else exits.DONE
    return exits.DONE if are_well(runs) else exits.FAILED


def are_over(runs: Runs) -> bool:
    """Whether every one of these runs has ended."""
    return all(run.get("status") in ENDED for run in runs)


def are_well(runs: Runs) -> bool:
    """Whether every one of these runs brought all it should."""
    return all(run.get("status") == "ok" for run in runs)


def run_streams(core: RunningCore, service_id: str, stream: str | None = None, *, wait_s: int) -> Runs:
    """The runs of a service's streams, or of one: as they ended, or as they are when the wait is over."""
    below = f"/{quote(stream, safe='')}" if stream else ""
    path = f"/Me/{service_id}/sync{below}" + (f"?wait_s={wait_s}" if wait_s else "")
    try:
        answer = core.ask("POST", path, wait_s=wait_s)
    except KeyboardInterrupt:
        warn(f"Not waited for any more. The sync of {service_id} goes on; see: {typed('status')}")
        raise
    except NotFound as err:
        service = core.get("/map")["installed"].get(service_id)
        if service is None:
            raise
        if (trouble := trouble_of(service)) is not None:
            raise NotFound(trouble.detail, remedy=trouble.remedy) from err
        streams = list(service["streams"])
        if stream is None and not streams:
            return []
        if stream in streams:
            raise
        raise NotFound(
            f"{service_id} has no stream {stream!r}; it has {', '.join(streams) or 'none'}.",
            remedy="Leave the stream out to sync all there are.",
        ) from err
    if not isinstance(answer, Mapping) or not isinstance(answer.get("runs"), list):
        raise AnswerInvalid(f"{service_id} took the sync and did not say what runs.")
    return list(answer["runs"])


def show_runs(runs: Runs, *, empty: str) -> None:
    """A row for each run, and below them what went wrong."""
    columns = ("stream", "status", "new", "updated", "deleted", "same", "set aside")
    members = ("stream", "status", "new", "updated", "deleted", "same", "quarantined")
    show_table(columns, [tuple(run.get(member) for member in members) for run in runs], empty=empty)
    for run in runs:
        if (trouble := Trouble.of_run(run)) is not None:
            show_trouble(str(run.get("stream")), trouble)


COMMANDS = {"sync": sync}

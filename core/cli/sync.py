"""`sync`: run a service's streams now."""

from __future__ import annotations

from pathlib import Path

import click

from core.cli import exits
from core.cli.options import as_json, placed, read_config
from core.cli.running_core import connect
from core.cli.screen import say, show_json, show_table

WAIT_S_MAX = 600


@click.command()
@click.argument("service_id", metavar="ID")
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
    core = connect(read_config(me, config_dir).me)
    path = f"/Me/{service_id}/sync" + (f"/{stream}" if stream else "") + (f"?wait_s={wait_s}" if wait_s else "")
    answer = core.ask("POST", path, wait_s=wait_s)
    runs = (answer or {}).get("runs")
    if as_json:
        show_json(answer)
    elif runs is None:
        say(f"{service_id} is syncing; its page and its log tell how it goes.")
    else:
        rows = [
            (r["stream"], r["status"], r["new"], r["updated"], r["deleted"], r["same"], r["quarantined"], _problem(r))
            for r in runs
        ]
        columns = ("stream", "status", "new", "updated", "deleted", "same", "set aside", "problem")
        show_table(columns, rows, empty=f"{service_id} has nothing to sync.")
    if runs is None:
        return exits.LATER if wait_s else exits.DONE
    return exits.FAILED if any(r["status"] != "ok" for r in runs) else exits.DONE


def _problem(run: dict[str, object]) -> object:
    problem = run.get("problem")
    return problem.get("detail") if isinstance(problem, dict) else None


COMMANDS = {"sync": sync}

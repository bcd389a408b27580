"""`run`: the core itself."""

from __future__ import annotations

from pathlib import Path

import click

from core.backup import is_unfinished
from core.cli.command_line import Session
from core.cli.login_token import checked_login_token
from core.cli.mounts import doubts_here
from core.cli.options import placed, read_config
from core.cli.places import Weight
from core.cli.screen import say, warn
from core.model.errors import FolderUnusable


@click.command()
@placed
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="The port to listen on; 0 takes a free one.")
@click.option("--no-browser", is_flag=True, help="Do not open the dashboard.")
@click.pass_obj
def run(session: Session, me: Path | None, config_dir: Path | None, port: int | None, no_browser: bool) -> int:
    """Run Locker until Ctrl-C."""
    token = checked_login_token(session.login_token)
    config = read_config(me, config_dir, port=port, open_browser=False if no_browser else None)
    check_place(config.me)
    # Loaded here alone: the whole house hangs on it, and no other command needs it.
    from core.assembly import main as run_core

    return run_core(config, login_token=token, announce=say)


def check_place(me: Path) -> None:
    """Raise FolderUnusable where Me must not be; warn of what speaks against the place. `doctor` tells the rest."""
    if is_unfinished(me):
        raise FolderUnusable(
            f"A restore into {me} was broken off: what stands there is not whole.",
            remedy="Finish it: run the same restore again.",
        )
    for doubt in doubts_here(me):
        if doubt.weight == Weight.REFUSED:
            raise FolderUnusable(doubt.sentence, remedy=doubt.cure)
        if doubt.weight == Weight.WARNED:
            warn(f"{doubt.sentence}\n{doubt.cure}")


COMMANDS = {"run": run}

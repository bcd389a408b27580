"""`token new|list|revoke`: the owner's tokens for scripts and apps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from core.cli.hints import see
from core.cli.options import as_json, placed, read_config
from core.cli.running_core import connect
from core.cli.screen import moment, say, show_json, show_table


@click.group()
def token() -> None:
    """Tokens by which scripts and apps reach your Locker."""


@token.command()
@click.argument("label")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(("all", "read", "sync")), default=("all",), show_default=True,
    help="What it may do; repeat it.",
)  # fmt: skip
@placed
@as_json
def new(label: str, scopes: tuple[str, ...], me: Path | None, config_dir: Path | None, as_json: bool) -> None:
    """Make a token, known to you by LABEL, and show it this once."""
    made = connect(read_config(me, config_dir).me).ask("POST", "/tokens", body={"label": label, "scopes": scopes})
    # Alone on standard output, so that a script can take it as it is.
    show_json(made) if as_json else say(made["token"])


@token.command("list")
@placed
@as_json
def list_(me: Path | None, config_dir: Path | None, as_json: bool) -> None:
    """List the tokens, never their text."""
    tokens = connect(read_config(me, config_dir).me).get("/tokens")
    if as_json:
        show_json(tokens)
        return
    rows = [(t["id"], t["label"], ", ".join(t["scopes"]), moment(t["created_at"]), _last_used(t)) for t in tokens]
    show_table(("id", "label", "may", "made", "last used"), rows, empty="There are no tokens.")


@token.command()
@click.argument("token_id", metavar="ID")
@placed
@as_json
def revoke(token_id: str, me: Path | None, config_dir: Path | None, as_json: bool) -> None:
    """Make the token ID worthless from now on."""
    core = connect(read_config(me, config_dir).me)
    gone = core.ask("DELETE", f"/tokens/{quote(token_id, safe='')}", unknown=see("token list"))
    show_json(gone) if as_json else say(f"{token_id} opens nothing any more.")


def _last_used(token: Mapping[str, Any]) -> str:
    at = token.get("last_used")
    return "never" if at is None else moment(at)


COMMANDS = {"token": token}

"""`store serve`: a store of its own folder, served over the wire without a core."""

from __future__ import annotations

import hmac
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from core.cli.screen import say, warn
from core.model.clock import SystemClock
from core.model.errors import BadRequest, NotFound, TokenRequired
from core.netstore import OWNER, Door, Grant, StoreServer, one_store
from core.store import Origin, Store, damage_of

ADDRESS = "127.0.0.1:7400"
SOCKET_NAME = "store.sock"
STORE_NAME = "store.db"
TOKEN_LETTERS_MIN = 32


@click.group()
def store() -> None:
    """Serve a store of your own, without a core."""


@store.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--create", "creates", is_flag=True, help="Make a new store in DIR where there is none.")
@click.option("--tcp", "address", is_flag=False, flag_value=ADDRESS, metavar="HOST:PORT",
              help=f"Listen at a loopback address too; without one, {ADDRESS}.")  # fmt: skip
@click.option("--token-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
              help="The token that a caller over TCP must name: 32 letters or more.")  # fmt: skip
@click.option("--no-token", is_flag=True, help="Ask nobody over TCP for a token: every program of this machine may in.")
@click.option("--any-hash", is_flag=True, help="Take facts whose hash is of a kind that cannot be checked, as BLAKE3.")
def serve(
    folder: Path, creates: bool, address: str | None, token_file: Path | None, no_token: bool, any_hash: bool
) -> int:
    """Serve the store in DIR at DIR/store.sock until Ctrl-C."""
    grant_of = None if address is None else _grant_of(token_file, no_token=no_token)
    place = folder.absolute()
    if not creates and not (place / STORE_NAME).is_file() and damage_of(place) is None:
        raise NotFound(f"There is no store in {place}.", remedy="Check the name, or make a new one with --create.")
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    origin = Origin(log=f"store/{place.name}", epoch=1)
    clock = SystemClock()
    with Store.open(place, types={}, origin=origin, clock=clock) as kept, StoreServer(clock=clock) as server:
        kept.on_commit = lambda _: server.committed(kept)
        kept.on_removed = lambda: server.forget(kept)
        door = Door(store_of=one_store(kept), any_hash=any_hash)
        say(f"Serving {place} at {server.serve_unix(place / SOCKET_NAME, door)}")
        if address is not None:
            host, port = server.serve_tcp(address, msgspec.structs.replace(door, grant_of=grant_of))
            say(f"and at {host} port {port}.")
            if grant_of is None:
                warn("Without a token, every program of every user of this machine may read and write it.")
        _until_told()
    return 0


def _grant_of(token_file: Path | None, *, no_token: bool) -> Callable[[str], Grant | None] | None:
    """What a token opens; None where nobody is asked for one."""
    if no_token == (token_file is not None):
        raise TokenRequired("Over TCP a token is needed.", remedy="Give --token-file FILE, or --no-token.")
    if token_file is None:
        return None
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        raise BadRequest(f"{token_file} cannot be read as text.", remedy="Save the token as plain text.") from err
    if len(token) < TOKEN_LETTERS_MIN:
        raise BadRequest(
            f"The token in {token_file} has fewer than {TOKEN_LETTERS_MIN} letters.",
            remedy="Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return lambda given: OWNER if _equal(given, token) else None


def _equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _until_told() -> None:
    """Wait for Ctrl-C, or for a polite end."""
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end.set())
    end.wait()


COMMANDS = {"store": store}

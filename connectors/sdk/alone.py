"""A connector without a core: `python connectors/<name>/connector.py --alone`, for its author.

It syncs on its own schedule, keeps its data in a folder, and prints an address that opens it. The core's part is
played here: times are kept in this process, the diary is the log.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import sys
import threading
import tomllib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec

from connectors.sdk.child import Child
from connectors.sdk.logs import start_logging
from connectors.sdk.source import Source
from core.model.clock import SystemClock
from core.model.errors import SettingsInvalid
from core.model.handshake import Greeting
from core.model.ids import uuid7
from core.vault.cipher import KEY_BYTES, key_to_text

TOKEN_PARAMETER = "token"  # noqa: S105  # the name of a parameter, no secret
SETTINGS_BYTES_MAX = 1024 * 1024

log = logging.getLogger(__name__)


class NoCore:
    """The core's part, played inside the process: it remembers times and calls the streams itself."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._timers: dict[str, threading.Timer] = {}
        self._times: dict[str, float] = {}
        self.start: Callable[[str], object] = lambda _: None

    def at(self, path: str, when: float) -> None:
        """Run the stream of `path` at `when`."""
        self.cancel(path)
        timer = threading.Timer(max(0.0, when - self._clock.now()), self._fire, args=(path,))
        timer.daemon = True
        self._timers[path] = timer
        self._times[path] = when
        timer.start()
        log.info("next run path=%s in_s=%.0f", path, when - self._clock.now())

    def cancel(self, path: str) -> None:
        """Forget a time."""
        self._times.pop(path, None)
        timer = self._timers.pop(path, None)
        if timer is not None:
            timer.cancel()

    def pending(self) -> Mapping[str, float]:
        """The times remembered, by path."""
        return dict(self._times)

    def hold(self, reason: str, until: float) -> None:
        """Nobody stops this process for idleness."""

    def release(self, reason: str) -> None:
        """Nothing is held."""

    def sign_in(self, account: str) -> None:
        """The sealed sign-in alone remembers it."""

    def committed(self, seq: int) -> None:
        """Nobody listens."""
        log.info("committed seq=%d", seq)

    def event(self, idr: str, action: str, value: Mapping[str, Any]) -> str:
        """Nobody hears it."""
        log.info("event idr=%s action=%s members=%d", idr, action, len(value))
        return str(uuid7(self._clock.now()))

    def listen(self, event_type: str, path: str) -> None:
        """There are no other services."""
        log.info("listens type=%s path=%s", event_type, path)

    def deafen(self, event_type: str, path: str) -> None:
        """Nothing is heard anyway."""

    def map(self) -> dict[str, Any]:
        """No services."""
        return {}

    def providers(self, *types: str) -> list[dict[str, Any]]:
        """None."""
        log.info("nobody provides types=%s", ",".join(types))
        return []

    def diary(self, message: str, level: int) -> None:
        """The log is the diary."""
        log.log((logging.INFO, logging.WARNING, logging.ERROR)[min(level, 2)], "diary: %s", message)

    def close(self) -> None:
        """Forget every time."""
        for path in list(self._timers):
            self.cancel(path)

    def _fire(self, path: str) -> None:
        self._timers.pop(path, None)
        self._times.pop(path, None)
        self.start(path.removeprefix("/sync/"))


def run_alone(source: Source, arguments: list[str]) -> None:
    """Serve `source` until Ctrl-C."""
    options = _parser(source).parse_args(arguments)
    blotting = start_logging()
    folder = Path(options.dir).resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    greeting = _greeting(source, folder, options)
    clock = SystemClock()
    core = NoCore(clock)
    child = Child(source, greeting, core=core, clock=clock, blotting=blotting)
    core.start = lambda stream: child.sync.start([stream])
    if child.auth.is_authorised():
        child.sync.start()
    query = urlencode({TOKEN_PARAMETER: greeting.token})
    try:
        child.live(
            announce=lambda port: _say(f"http://127.0.0.1:{port}/?{query}"),
            leash=None,
            port=options.port,
            around=token_in_query,
        )
    finally:
        core.close()


def token_in_query(inner: Any) -> Any:
    """An ASGI application that takes the token from the query too, so that an address can be opened in a browser."""

    async def door(
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        token = query.pop(TOKEN_PARAMETER, [""])[0]
        if token:
            # Whoever has the token is the owner: there is nobody else.
            headers = [*scope["headers"], (b"x-locker-token", token.encode()), (b"x-locker-actor", b"owner")]
            scope = {**scope, "headers": headers, "query_string": urlencode(query, doseq=True).encode()}
        await inner(scope, receive, send)

    return door


def _parser(source: Source) -> argparse.ArgumentParser:
    name = source.manifest.name
    parser = argparse.ArgumentParser(
        prog=f"{name}/connector.py", description=f"{source.manifest.title}, without a core."
    )
    parser.add_argument("--alone", action="store_true", help="run without a core")
    parser.add_argument("--port", type=int, default=0, help="the port on 127.0.0.1 (default: any that is free)")
    parser.add_argument("--dir", default=f".alone/{name}", help="where the data is kept (default: %(default)s)")
    parser.add_argument("--settings", type=Path, help="a TOML or JSON file of settings")
    return parser


def _greeting(source: Source, folder: Path, options: argparse.Namespace) -> Greeting:
    identity = _identity(folder)
    return Greeting(
        port=options.port,
        working_directory=str(folder),
        locker_url="",
        id=source.manifest.name,
        uid=identity["uid"],
        device="alone",
        core_pid=os.getpid(),
        source_directory=str(source.folder),
        external_base="/",
        token=secrets.token_urlsafe(24),
        key=identity["key"],
        settings=_settings(source, options.settings),
    )


def _identity(folder: Path) -> dict[str, str]:
    """Who this folder is, made once: without a core there is nobody else to keep the key."""
    path = folder / "alone.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    identity = {"uid": secrets.token_hex(16), "key": key_to_text(secrets.token_bytes(KEY_BYTES))}
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(identity))
    return identity


def _settings(source: Source, path: Path | None) -> dict[str, Any]:
    defaults = {name: schema["default"] for name, schema in source.manifest.settings.items() if "default" in schema}
    if path is None:
        return defaults
    try:
        text = path.read_bytes()
    except OSError as err:
        raise SettingsInvalid(f"{path} cannot be read: {err.strerror}") from err
    if len(text) > SETTINGS_BYTES_MAX:
        raise SettingsInvalid(f"{path} has more than {SETTINGS_BYTES_MAX} bytes")
    try:
        given: dict[str, Any] = (
            msgspec.json.decode(text, type=dict[str, Any]) if path.suffix == ".json" else tomllib.loads(text.decode())
        )
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise SettingsInvalid(f"{path} is neither TOML nor JSON: {err}") from err
    return {**defaults, **given}


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

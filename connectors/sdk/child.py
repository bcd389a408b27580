"""One running connector: its parts, opened in the classic order, and closed in reverse.

1. The web service exists, with nothing in it.  2. The process changes to its working directory and reads me.json.
3. The data routes are added, always.  4. Signing in: when signed in, go on at once; otherwise its routes are there and
the process listens anyway.  5. Once signed in, the sync routes are added, also while it listens.  6. It listens, and
announces it, once.  7. When its leash ends the core is gone, and so are we.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from connectors.sdk.auth import Auth, FormAuth, NoAuth
from connectors.sdk.broken_off import note_broken_off
from connectors.sdk.context import DISK_FREE_BYTES_MIN, Service
from connectors.sdk.core_client import Core
from connectors.sdk.logs import Blotting, secrets_in
from connectors.sdk.opening import Opening
from connectors.sdk.routes import application
from connectors.sdk.server import Server, listen
from connectors.sdk.service_routes import ServiceRoutes
from connectors.sdk.session import Session
from connectors.sdk.source import Source
from connectors.sdk.status import Broadcast
from connectors.sdk.sync import Sync
from connectors.sdk.tell import Tell
from connectors.sdk.webservice import Webservice
from connectors.sdk.wire import Wire
from core.model.clock import Clock
from core.model.errors import Broken
from core.model.handshake import Greeting
from core.records import DataApi
from core.store import Origin, Reader, Store
from core.vault.cipher import SealedFile, key_from_text

if sys.platform != "win32":
    import uvloop

STOP_S = 1.5
TELL_S = 0.3
ME_BYTES_MAX = 1024 * 1024

Around = Callable[[Any], Any]

log = logging.getLogger(__name__)


class Child:
    """A connector over one working directory: `live` serves until it is stopped."""

    def __init__(self, source: Source, greeting: Greeting, *, core: Core, clock: Clock, blotting: Blotting) -> None:
        self._greeting = greeting
        self._source = source
        self._blotting = blotting
        self._stop_asked: Callable[[], None] = lambda: None
        self._broadcast = Broadcast()
        self.webservice = Webservice(own=self._own if source.has("webservice") or source.has("api") else None)
        self.folder = Path(greeting.working_directory)
        os.chdir(self.folder)
        manifest = source.manifest
        blotting.keep_out([greeting.token, greeting.key, *_secret_settings(source, greeting)])
        self._tell = Tell(core)
        self._wire = Wire(greeting, clock=clock)
        self._fault: Exception | None = None
        self._stores = Opening(
            lambda: self._open_store(clock), Reader.open(self.folder, types=manifest.types), failed=self._give_up
        )
        self.service = Service(
            manifest=manifest,
            service_id=greeting.id,
            base=urlsplit(greeting.external_base).path or "/",
            settings=greeting.settings,
            folder=self.folder,
            stores=self._stores,
            core=core,
            clock=clock,
            due=greeting.due,
            disk_free_bytes_min=greeting.limits.get("disk_free_bytes_min", DISK_FREE_BYTES_MIN),
        )
        self.service.me = _read_me(self.folder)
        self.service.account = greeting.account
        self.auth = self._make_auth()
        self.sync = Sync(
            self.service, source, publish=self._broadcast.publish, sign_in_lapsed=lambda why: self.auth.lapse(why)
        )
        self._routes = ServiceRoutes(self.service, auth=self.auth, sync=self.sync, broadcast=self._broadcast)
        self._is_listening = False

    def live(
        self, *, announce: Callable[[int], None], leash: int | None, port: int = 0, around: Around = lambda app: app
    ) -> None:
        """Serve until stopped: by a signal, or when the descriptor `leash` comes to its end.

        `around` may put a door of its own before the web service.
        """
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self._serve(announce, leash, port, around))
        finally:
            self.close()
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Ask for the end; from any thread."""
        self._stop_asked()

    def close(self) -> None:
        """Let runs finish their batch, then close the store, within about two seconds."""
        self._wire.close()
        self.sync.stop(deadline_s=STOP_S)
        self._tell.close(deadline_s=TELL_S)
        self._stores.close()
        self.webservice.close()

    async def _serve(self, announce: Callable[[int], None], leash: int | None, port: int, around: Around) -> None:
        loop = asyncio.get_running_loop()
        self._broadcast.attach(loop)
        server = Server(around(self.webservice))
        self._add_routes()
        listener = listen(port)

        def stop() -> None:
            self.service.stopping.set()
            self._broadcast.close()
            server.stop()

        self._stop_asked = lambda: _from_any_thread(loop, stop)
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError):  # Signals reach only a process's main thread.
                signal.signal(number, lambda *_: self.stop())
        if leash is not None:
            # A daemon: it waits in read() for as long as the core lives.
            threading.Thread(target=_wait_for_end, args=(leash, self.stop), name="leash", daemon=True).start()
        if self._fault is not None:
            return
        await server.run_on(listener, ready=lambda: announce(listener.getsockname()[1]))

    def _open_store(self, clock: Clock) -> Store:
        origin = Origin(log=f"{self._greeting.device}/{self._greeting.uid}", epoch=self._greeting.origin_epoch)
        manifest = self._source.manifest
        store = Store.open(
            self.folder,
            types=manifest.types,
            origin=origin,
            clock=clock,
            timezone=self._greeting.timezone,
            files_bytes_max=manifest.limits.files_bytes,
        )
        note_broken_off(store, manifest.streams)
        store.on_commit = self._committed
        store.on_removed = self._wire.removed
        self._wire.serve(store)
        return store

    def _committed(self, head: int) -> None:
        self._tell.committed(head)
        self._wire.committed()

    def _give_up(self, fault: Exception) -> None:
        """End the process with the reason: a child that cannot write its store is none."""
        self._fault = fault
        self.stop()

    def _add_routes(self) -> None:
        self.webservice.admit(self._greeting.token, auth_address=f"{self.service.base}auth")
        self.webservice.add(self._routes.root_route, self._routes.status_route)
        api = DataApi(
            lambda: self._stores.reads, manifest=self.service.manifest, base=self.service.base,
            writes=lambda: self._stores.store,
        )  # fmt: skip
        self.webservice.add(*api.routes)
        self.webservice.add(self._routes.auth_route)
        self.auth.begin(done=self._signed_in, undone=lambda: self.webservice.remove("sync"))
        self._is_listening = True

    def _signed_in(self) -> None:
        self._blotting.keep_out(str(value) for value in self.auth.credentials().values())
        self.webservice.add(self._routes.sync_route)
        if self._is_listening:
            self.sync.ask_now()

    def _make_auth(self) -> Auth:
        kind = self.service.manifest.auth_kind
        self.service.credentials = lambda: self.auth.credentials()
        self.service.sign_ins = lambda: self.auth.sign_ins()
        self.service.sign = self._sign
        if kind == "none":
            return NoAuth()
        if kind not in ("token", "password"):
            raise Broken(f"this version of the SDK knows no sign-in of kind {kind!r}")
        sealed = SealedFile(
            self.folder / "auth.sealed", key_from_text(self._greeting.key), context=f"auth:{self._greeting.uid}"
        )
        return FormAuth(self.service, self._source, sealed, kind=kind)

    def _sign(self, session: Session) -> None:
        sign = getattr(self._source.module("auth"), "sign", None) if self._source.has("auth") else None
        if sign is not None and self.auth.is_authorised():
            sign(session, self.auth.credentials())

    def _own(self) -> Any:
        return application(self.service, self._source)


def _wait_for_end(descriptor: int, ended: Callable[[], None]) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except OSError:
        log.warning("stdin cannot be read, which means as much as its end")
    ended()


def _from_any_thread(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # The loop is closed: the end has come already.
        loop.call_soon_threadsafe(call)


def _read_me(folder: Path) -> dict[str, Any]:
    """me.json, which is a courtesy of the core: without it the child lives all the same."""
    try:
        with (folder / "me.json").open("rb") as file:
            return msgspec.json.decode(file.read(ME_BYTES_MAX), type=dict[str, Any])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as err:
        log.warning("me.json cannot be read: %s", type(err).__name__)
        return {}


def _secret_settings(source: Source, greeting: Greeting) -> list[str]:
    found = []
    for name, schema in source.manifest.settings.items():
        found += secrets_in(schema, greeting.settings.get(name))
    return found


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    return None if sys.platform == "win32" else uvloop.new_event_loop

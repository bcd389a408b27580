"""One core from start to end: its Me locked, its port taken, the house open, until somebody asks it to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import webbrowser
from collections.abc import Callable

import psutil
import uvloop

from core.assembly.house import House, Standing
from core.assembly.journal import Journal
from core.assembly.listening import Server, Signals, listen
from core.assembly.lock import MeLock
from core.assembly.means import prepare_me, warm_parent
from core.config import Config
from core.gateway import FrontLimits, server_config
from core.model.clock import SystemClock
from core.vault import Redactor

log = logging.getLogger(__name__)

STOP_GRACE_S = 1
# Below five seconds with everything that comes after.
STOP_S = 4.7
OK, FORCED = 0, 1


def main(config: Config, *, login_token: str | None, announce: Callable[[str], None]) -> int:
    """Run the core until it is asked to stop; the exit status. The way to Me must hold no link any more.

    Raises AlreadyRunning, PortTaken, FolderUnusable, FileDamaged, FormatTooNew, KeyMissing before it serves.
    """
    os.umask(0o077)
    lock = MeLock(config.me)
    try:
        if lock.is_begun():
            # Who already runs over this Me is a better answer than who holds its port.
            lock.take()
        # The port comes before anything is made: a start that is refused leaves nothing behind.
        listeners = listen(config.host, config.port)
        try:
            prepare_me(config.me)
            lock.take()
            return _run(config, listeners, lock, login_token=login_token, announce=announce)
        finally:
            for listener in listeners:
                listener.close()
    finally:
        lock.release()


def _run(
    config: Config,
    listeners: list[socket.socket],
    lock: MeLock,
    *,
    login_token: str | None,
    announce: Callable[[str], None],
) -> int:
    # Before any thread and any secret of ours: the warm parent is executed, not forked from this.
    zygote = warm_parent(config, os.environ)
    if zygote is not None:
        zygote.start()
    try:
        port: int = listeners[0].getsockname()[1]
        lock.note(port=port)
        redactor = Redactor()
        if login_token is not None:
            redactor.add(login_token)
        with Journal(config.me / "logs", redactor, level=config.log_level):
            standing = Standing(
                config=config, clock=SystemClock(), zygote=zygote, redactor=redactor, port=port, owner_token=login_token
            )
            return uvloop.run(_serve(standing, listeners, announce))
    except BaseException:
        if zygote is not None:
            zygote.close()
        raise


async def _serve(standing: Standing, listeners: list[socket.socket], announce: Callable[[str], None]) -> int:
    signals = Signals(asyncio.get_running_loop(), at_once=_kill_everything)
    house = House(standing)
    await house.open()
    server = Server(
        server_config(house.web, host=standing.config.host, port=standing.port, limits=FrontLimits(),
                      stop_grace_s=STOP_GRACE_S)
    )  # fmt: skip
    serving = asyncio.create_task(server.serve(sockets=listeners), name="server")
    asked = asyncio.create_task(signals.asked.wait(), name="signals")
    try:
        await _announce(standing.config, house, announce)
        await asyncio.wait([serving, asked], return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            announce("Stopping. Press Ctrl-C again to stop at once.")
    finally:
        asked.cancel()
        server.should_exit = True
        await _end({serving, asyncio.create_task(house.close(), name="house")})
    return OK


async def _end(endings: set[asyncio.Task[None]]) -> None:
    """Wait for an orderly end, and make it one that nothing can hold up."""
    done, late = await asyncio.wait(endings, timeout=STOP_S)
    if late:
        stuck = sorted(task.get_name() for task in asyncio.all_tasks() if not task.done())
        log.error("stopping took longer than %g s, ended by force tasks=%s", STOP_S, ",".join(stuck))
        _kill_everything()
        os._exit(FORCED)
    for task in done:
        task.result()


async def _announce(config: Config, house: House, announce: Callable[[str], None]) -> None:
    """Say where it is, once it answers."""
    url = house.web.login_url()
    log.info("core ready port=%d", house.port)
    announce(f"Locker is ready: {url}")
    if config.open_browser:
        await asyncio.to_thread(_open_browser, url)


def _open_browser(url: str) -> None:
    try:
        webbrowser.open(url)
    except (OSError, webbrowser.Error) as error:
        log.info("no browser was opened: %s", error)


def _kill_everything() -> None:
    """The second Ctrl-C: whatever is below this process ends now."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        except psutil.Error:
            continue

"""`logs`: what a service, or the core itself, wrote. Read from the file: a core that does not start has a log too."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import click

from core.cli.hints import see, typed
from core.cli.options import placed, read_config
from core.cli.screen import plain, say
from core.model.errors import NotFound
from core.model.ids import SERVICE_ID

CORE = "core"
LINES_DEFAULT = 100
LINES_MAX = 100_000
LINE_CHARS_MAX = 8192
POLL_S = 0.25


@click.command()
@click.argument("service_id", metavar="[ID]", default=CORE)
@placed
@click.option("-n", "--lines", type=click.IntRange(0, LINES_MAX), default=LINES_DEFAULT, metavar="N", show_default=True,
              help="How many lines to begin with.")  # fmt: skip
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
def logs(service_id: str, me: Path | None, config_dir: Path | None, lines: int, follow: bool) -> None:
    """Show the log of the service ID, or Locker's own."""
    path = log_path(read_config(me, config_dir).me, service_id)
    for line in last_lines(path, lines):
        say(plain(line))
    if follow:
        for line in new_lines(path, wait=lambda: time.sleep(POLL_S)):
            say(plain(line))


def log_path(me: Path, service_id: str) -> Path:
    """The file that the service's log is written to; NotFound when it never wrote any."""
    if has_log(me, service_id):
        return _log_file(me, service_id)
    if SERVICE_ID.fullmatch(service_id) and (me / service_id).is_dir():
        raise NotFound(f"{service_id} has written no log yet.", remedy=f"How it is, tells: {typed('status')}")
    if service_id == CORE:
        raise NotFound(f"Locker has not run over {me} yet.", remedy=f"Start it with: {typed(me=me)}")
    raise NotFound(f"There is no log of {service_id!r} in {me / 'logs'}.", remedy=see("list"))


def has_log(me: Path, service_id: str) -> bool:
    """Whether a service, or the core, has ever written to its log."""
    return SERVICE_ID.fullmatch(service_id) is not None and _log_file(me, service_id).is_file()


def _log_file(me: Path, service_id: str) -> Path:
    return me / "logs" / f"{service_id}.log"


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a file, without their ends."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return list(deque(_lines(file), maxlen=count))


def new_lines(path: Path, *, wait: Callable[[], object]) -> Iterator[str]:
    """Every line written from now on, also into the file that takes this one's place when logs are rotated."""
    file = path.open(encoding="utf-8", errors="replace")
    try:
        file.seek(0, os.SEEK_END)
        while True:
            yield from _lines(file)
            wait()
            if _is_replaced(file, path):
                yield from _lines(file)
                file.close()
                file = path.open(encoding="utf-8", errors="replace")
    finally:
        file.close()


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(LINE_CHARS_MAX):
        yield line.rstrip("\r\n")


def _is_replaced(file: TextIO, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(file.fileno())
    return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino) or there.st_size < file.tell()


COMMANDS = {"logs": logs}

"""What hangs on a service when it is changed: how long it is waited for, and in which order it goes."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.assembly.bridges import QUICK_S, START_S_MAX
from core.assembly.offices import ServiceDesk


class Desk:
    """A desk over rooms that only keep what they are told, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.waits: list[float] = []
        self.breaks_at = ""
        kept = SimpleNamespace(id="feeds", uid="uid-of-feeds")
        services = SimpleNamespace(
            kept=lambda: [kept], install=lambda *_, **__: kept, enable=lambda _: kept, resume=lambda _: kept,
            get=lambda _: SimpleNamespace(paused=False),
            disable=lambda _: kept, update_settings=lambda *_: kept, uninstall=lambda *_, **__: self.tell("record"),
        )  # fmt: skip
        names = ("scheduler", "stores", "catalog", "is_outdated")
        rooms: dict[str, Any] = dict.fromkeys(names)
        self.desk = ServiceDesk(
            services,  # type: ignore[arg-type]
            loop=SimpleNamespace(run=self.run),  # type: ignore[arg-type]
            bus=SimpleNamespace(erase=self.later("events")),  # type: ignore[arg-type]
            deliveries=SimpleNamespace(purge=self.later("letters")),  # type: ignore[arg-type]
            supervisor=SimpleNamespace(stop=self.later("child")),  # type: ignore[arg-type]
            keepers=SimpleNamespace(settle=lambda: self.tell("stores")),  # type: ignore[arg-type]
            logs=SimpleNamespace(erase=lambda _: self.tell("logs")),  # type: ignore[arg-type]
            erase_words=lambda _: self.tell("words"),
            go_on=self.later("syncs"),
            keep_back=contextlib.nullcontext,
            me=Path("Me"),
            **rooms,
        )

    def tell(self, what: str) -> None:
        if what == self.breaks_at:
            raise OSError(what)
        self.told.append(what)

    def later(self, what: str) -> Any:
        async def tell(*_: object, **__: object) -> None:
            self.tell(what)

        return tell

    def run(self, work: Coroutine[Any, Any, Any], *, timeout_s: float = QUICK_S) -> None:
        """Run what awaits nothing that is not done; of the rest only the wait is kept."""
        self.waits.append(timeout_s)
        if cast(Any, work).__qualname__.startswith("ServiceDesk."):
            work.close()
            return
        try:
            work.send(None)
        except StopIteration:
            return
        raise AssertionError("it waits")


@pytest.mark.parametrize("deed", ["install", "enable", "disable", "resume", "update_settings"])
def test_a_slow_child_is_waited_for(deed: str) -> None:
    """Whatever starts or stops a child waits as long as that may take: it is done, so it is not answered as refused."""
    desk = Desk()
    if deed == "install":
        desk.desk.install("feeds", settings={}, title=None, service_id=None)
    elif deed == "update_settings":
        desk.desk.update_settings("feeds", {})
    else:
        getattr(desk.desk, deed)("feeds")

    assert [START_S_MAX] == desk.waits


@pytest.mark.parametrize("breaks_at", ["events", "letters", "words", "logs"])
def test_an_erasing_that_was_cut_short_can_be_asked_for_again(breaks_at: str) -> None:
    """The record goes last, so nothing is left that nobody could erase."""
    desk = Desk()
    desk.breaks_at = breaks_at
    with pytest.raises(OSError, match=breaks_at):
        desk.desk.erase_kept("feeds")
    before = list(desk.told)
    desk.breaks_at = ""
    desk.desk.erase_kept("feeds")

    assert "record" not in before
    assert ["events", "letters", "words", "logs", "record"] == desk.told[len(before) :]

"""One exchange under watch: ended from outside when a limit runs out or the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from core.model.errors import LockerError

Reason = Callable[[], LockerError]


class Watch:
    """Runs its block until it ends by itself, a limit runs out, or somebody ends it.

    A block that was ended raises the reason given; one whose client left just stops, with `client_left` set.
    `caller` is who asked, as the scope had it.
    Owned by the task that entered it; while it runs it stands in the set `among`, if one is given. Moving a
    deadline costs two assignments: the timer looks at it when it fires.
    """

    __slots__ = (
        "_among", "_cancels", "_deadline", "_ended", "_error", "_loop", "_reason", "_task", "_timer", "_within_s",
        "caller", "client_left",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, among: set[Watch] | None = None, caller: object = None
    ) -> None:
        self.caller = caller
        self._loop = loop
        self._among = among
        self._task: asyncio.Task[object] | None = None
        self._cancels = 0
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        self._within_s: float | None = None
        self._reason: Reason | None = None
        self._error: LockerError | None = None
        self._ended = False
        self.client_left = False

    def __enter__(self) -> Watch:
        self._task = asyncio.current_task()
        if self._task is not None:
            self._cancels = self._task.cancelling()
        if self._among is not None:
            self._among.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> bool:
        if self._among is not None:
            self._among.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        task, self._task, self._reason = self._task, None, None
        if not self._ended or task is None:
            return False
        if task.uncancel() > self._cancels or (kind is not None and not issubclass(kind, asyncio.CancelledError)):
            return False
        if self._error is not None:
            raise self._error
        return kind is not None

    def expect(self, within_s: float | None, reason: Reason | None = None) -> None:
        """From now on, end the block with `reason` unless this is called again within `within_s` (None: no limit)."""
        self._reason = reason
        self._within_s = within_s
        if within_s is None:
            self._deadline = None
            return
        deadline = self._loop.time() + within_s
        self._deadline = deadline
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._look)
        elif self._timer.when() > deadline:
            self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._look)

    def touch(self) -> None:
        """Something went on: what is expected now has its full time again."""
        if self._within_s is not None:
            self._deadline = self._loop.time() + self._within_s

    def end(self, error: LockerError) -> None:
        """End the block with `error`; the first reason given stands."""
        if not self._ended and self._task is not None:
            self._ended, self._error = True, error
            self._task.cancel()

    def leave(self) -> None:
        """End the block quietly: the client is gone, nobody waits for an answer."""
        if not self._ended and self._task is not None:
            self._ended = self.client_left = True
            self._task.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._deadline is None or self._reason is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        else:
            self.end(self._reason())

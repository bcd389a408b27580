"""A client's subscription: a thread that is told of facts, across breaks of the connection, each fact once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import msgspec

from core.model.errors import CursorTooOld, CursorUnknown, LockerError, Retry
from core.model.fact import Fact, JsonObject
from core.netstore import facts
from core.netstore.client.line import Address, Backoff, Wire, judged
from core.netstore.protocol import Cursor

log = logging.getLogger(__name__)

Handler = Callable[[Fact], None]

BEGIN_S_MAX = 30.0
JOIN_S_MAX = 5.0
SILENT_BEATS_MAX = 3
HEARTBEAT_S = 15.0


class Subscriber:
    """Calls the handler with each fact, in order; owned by its thread, from `start` to `close`.

    Its `cursor` is the last fact that the handler took. One whose handler raises is brought again, after a growing
    pause, and everything behind it waits. `problem` is what ended it before its time: a cursor that the store does
    not know any more, a token that is not valid.
    """

    def __init__(
        self,
        address: Address,
        handler: Handler,
        *,
        stores: Sequence[str],
        cursor: Cursor | None,
        on_lagged: Callable[[int, int], None] | None,
        heartbeat_s: float | None,
    ) -> None:
        self.cursor = cursor
        self.problem: LockerError | None = None
        self._address = address
        self._handler = handler
        self._stores = list(stores)
        self._on_lagged = on_lagged
        self._heartbeat_s = heartbeat_s or HEARTBEAT_S
        self._wire: Wire | None = None
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._pause = self._backoff()
        self._thread = threading.Thread(target=self._run, name=f"netstore subscriber {address.address}", daemon=True)

    def start(self) -> None:
        """Begin; raises what keeps it from beginning."""
        self._thread.start()
        if not self._begun.wait(BEGIN_S_MAX):
            self.close()
            raise Retry(f"{self._address} did not answer in time")
        if self.problem is not None:
            raise self.problem

    @property
    def is_alive(self) -> bool:
        """Whether facts still come."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End it: the handler is not called any more when this returns, unless it does not return itself."""
        self._ended.set()
        if (wire := self._wire) is not None:
            wire.cut()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(JOIN_S_MAX)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._follow()
            except (CursorTooOld, CursorUnknown) as err:
                self._fail(err)
            except (OSError, Retry) as err:
                if self._ended.is_set():
                    break
                log.info("store subscription broke address=%s error=%s", self._address, type(err).__name__)
                self._pause.wait(self._address, err)
            except LockerError as err:
                self._fail(err)
            except Exception as err:  # The thread's edge: what nobody foresaw ends this subscription alone.
                log.exception("store subscription failed address=%s", self._address)
                self._fail(Retry(f"the subscription met a {type(err).__name__}"))
            finally:
                wire, self._wire = self._wire, None
                if wire is not None:
                    wire.drop()
        self._begun.set()

    def _follow(self) -> None:
        """One connection, from its subscription to its end."""
        wire = Wire(self._address, timeout_s=BEGIN_S_MAX)
        self._wire = wire
        request: JsonObject = {"op": "subscribe", "stores": self._stores, "heartbeat_s": self._heartbeat_s}
        if self.cursor is not None:
            request["cursor"] = self.cursor
        cursor = msgspec.convert(wire.ask(request)["cursor"], Cursor)
        if self.cursor is None or self.cursor.store_epoch != cursor.store_epoch:
            self.cursor = cursor
        self._begun.set()
        self._pause = self._backoff()
        wire.wait_at_most(self._heartbeat_s * SILENT_BEATS_MAX)
        while not self._ended.is_set():
            self._hear(wire.receive())

    def _hear(self, event: JsonObject) -> None:
        assert self.cursor is not None
        kind = event.get("event")
        if kind == "fact_written":
            fact = facts.fact_of(event["fact"])
            if fact.seq > self.cursor.seq:  # Else it came before the connection broke.
                self._deliver(fact)
                self._move(fact.seq)
        elif kind == "lagged":
            log.warning("store subscription lagged address=%s from=%s to=%s", self._address, event["from"], event["to"])
            if self._on_lagged is not None:
                self._on_lagged(int(event["from"]), int(event["to"]))
            self._move(int(event["to"]))
        elif kind == "caught_up":
            self._move(max(self.cursor.seq, int(event["seq"])))
        elif kind == "draining":
            raise ConnectionResetError("the server is about to stop")
        elif kind == "error" and isinstance(event.get("seq"), int):
            log.warning("store subscription met a damaged fact address=%s seq=%d", self._address, event["seq"])
            if self._on_lagged is not None:
                self._on_lagged(event["seq"], event["seq"])
            self._move(event["seq"])
        elif kind == "error":
            judged({**event, "ok": False})

    def _deliver(self, fact: Fact) -> None:
        """Call the handler until it takes the fact."""
        pause = self._backoff()
        failures = 0
        while not self._ended.is_set():
            try:
                self._handler(fact)
            except Exception as err:  # The handler is another's: it keeps its place, and is asked again.
                failures += 1
                if failures == 1:
                    log.warning("store subscriber's handler failed seq=%d", fact.seq, exc_info=err)
                pause.wait(self._address, err)
                continue
            if failures:
                log.info("store subscriber's handler goes on seq=%d tries=%d", fact.seq, failures + 1)
            return
        raise ConnectionResetError("closed before the handler took the fact")

    def _move(self, seq: int) -> None:
        assert self.cursor is not None
        self.cursor = Cursor(self.cursor.store_epoch, seq)

    def _fail(self, err: LockerError) -> None:
        self.problem = err
        log.warning("store subscription ended address=%s code=%s", self._address, err.code)
        self._ended.set()

    def _backoff(self) -> Backoff:
        return Backoff(None, pause=self._ended.wait)

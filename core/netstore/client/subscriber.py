"""A client's subscription: a thread that is told of facts, across breaks of the connection, each fact once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import msgspec

from core.model.errors import CursorTooOld, CursorUnknown, FactDamaged, LockerError, Retry
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
    pause, and everything behind it waits. `problem` is what ended it before its time, as `on_ended` is told: a cursor
    that the store does not know any more, a token that is not valid. Facts that are gone before they were read, or
    damaged, `on_lagged` is told of by their first and last position, and it goes on behind them; without `on_lagged`
    they end it. Both are called in its thread.
    """

    def __init__(
        self,
        address: Address,
        handler: Handler,
        *,
        stores: Sequence[str],
        cursor: Cursor | None,
        on_lagged: Callable[[int, int], None] | None,
        on_ended: Callable[[LockerError], None] | None = None,
        heartbeat_s: float | None,
    ) -> None:
        self.cursor = cursor
        self.problem: LockerError | None = None
        self._address = address
        self._handler = handler
        self._stores = list(stores)
        self._on_lagged = on_lagged
        self._on_ended = on_ended
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
            except CursorTooOld as err:
                self._too_late(err)
            except CursorUnknown as err:
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
            last = int(event["to"])
            self._pass_over(int(event["from"]), last, CursorTooOld(f"facts up to {last} are not retained", floor=last))
        elif kind == "caught_up":
            self._move(max(self.cursor.seq, int(event["seq"])))
        elif kind == "draining":
            raise ConnectionResetError("the server is about to stop")
        elif kind == "error" and isinstance(event.get("seq"), int):
            seq = event["seq"]
            self._pass_over(seq, seq, FactDamaged(f"fact {seq} cannot be read", seq=seq))
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

    def _too_late(self, err: CursorTooOld) -> None:
        """What followed the cursor went while the connection was broken; at the beginning who began it is told."""
        if self.cursor is None or not self._begun.is_set():
            self._fail(err)
            return
        try:
            self._pass_over(self.cursor.seq + 1, err.floor, err)
        except Exception as raised:  # The application's own, or that it wants to be told of nothing.
            if raised is not err:
                log.exception("store subscriber's on_lagged failed address=%s", self._address)
            self._fail(err)

    def _pass_over(self, first: int, last: int, err: LockerError) -> None:
        """Tell of facts that never come, and go on behind them; raises `err` where nobody is told."""
        log.warning("store subscription lacks facts address=%s from=%d to=%d", self._address, first, last)
        if self._on_lagged is None:
            raise err
        self._on_lagged(first, last)
        self._move(last)

    def _move(self, seq: int) -> None:
        assert self.cursor is not None
        self.cursor = Cursor(self.cursor.store_epoch, seq)

    def _fail(self, err: LockerError) -> None:
        self.problem = err
        log.warning("store subscription ended address=%s code=%s", self._address, err.code)
        self._ended.set()
        if self._on_ended is not None and self._begun.is_set():
            try:
                self._on_ended(err)
            except Exception:  # As the handler: another's.
                log.exception("store subscriber's on_ended failed address=%s", self._address)

    def _backoff(self) -> Backoff:
        return Backoff(None, pause=self._ended.wait)

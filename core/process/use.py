"""Who is using a service at the moment: open leases, holds with their time, and when the last of them ended."""

from __future__ import annotations

from core.model.clock import Clock
from core.model.errors import Forbidden, TooBusy
from core.process.spec import ProcessLimits

REASON_CHARS_MAX = 200


class Use:
    """The use of one service. Owned by the loop; `holds` may be read from anywhere."""

    def __init__(self, service_id: str, *, clock: Clock, limits: ProcessLimits) -> None:
        self.leases = 0
        self._service_id = service_id
        self._clock = clock
        self._limits = limits
        self._holds: dict[str, float] = {}
        self._used_at = clock.monotonic()

    def touch(self) -> None:
        """The service is used at this moment."""
        self._used_at = self._clock.monotonic()

    def hold(self, reason: str, until: float) -> None:
        """Count as used until the wall-clock time `until`, a bounded while ahead; raises TooBusy, Forbidden."""
        self._expire()
        if len(reason) > REASON_CHARS_MAX:
            raise Forbidden(f"{self._service_id}: a hold's reason has at most {REASON_CHARS_MAX} characters")
        if reason not in self._holds and len(self._holds) >= self._limits.holds_max:
            raise TooBusy(f"{self._service_id} holds its process for {len(self._holds)} reasons already")
        wanted_s, most_s = until - self._clock.now(), self._limits.hold_s_max
        # In this order NaN, which is smaller than nothing, counts as too large.
        self._holds[reason] = self._clock.monotonic() + (wanted_s if wanted_s < most_s else most_s)

    def release(self, reason: str) -> None:
        """The hold has served its purpose."""
        if self._holds.pop(reason, None) is not None:
            self.touch()

    def release_all(self) -> None:
        """Whoever held the process is gone."""
        self._holds.clear()

    def holds(self) -> tuple[str, ...]:
        """The reasons for which the process is held now."""
        now = self._clock.monotonic()
        return tuple(sorted(reason for reason, until in list(self._holds.items()) if until > now))

    def quiet_s(self) -> float:
        """Seconds since anybody used the service; 0 while somebody does."""
        self._expire()
        if self.leases or self._holds:
            return 0.0
        return self._clock.monotonic() - self._used_at

    def _expire(self) -> None:
        now = self._clock.monotonic()
        for reason, until in list(self._holds.items()):
            if until <= now:
                del self._holds[reason]
                self._used_at = max(self._used_at, until)

"""The names under which the core may be addressed. Pure: a Host header in, a judgement out."""

from __future__ import annotations

import re
from dataclasses import dataclass

DASHBOARD_NAME = "locker.localhost"
LOOPBACK = "127.0.0.1"
_MOVED_NAME = "localhost"
_OWN_NAMES = (DASHBOARD_NAME, LOOPBACK, _MOVED_NAME)
_NAME_AND_PORT = re.compile(r"([^:]+)(?::[0-9]{1,5})?")


@dataclass(frozen=True)
class Hosts:
    """The allow-list for one port; what is not on it may be a rebinding DNS name."""

    port: int
    further_names: tuple[str, ...] = ()

    @property
    def dashboard(self) -> str:
        """The host of the dashboard's addresses: the only one on which a session counts."""
        return f"{DASHBOARD_NAME}:{self.port}"

    @property
    def origin(self) -> str:
        """What a browser sends as Origin from the dashboard."""
        return self.origins[0]

    @property
    def origins(self) -> tuple[str, ...]:
        """Every origin from which a browser may be shown a page of the core."""
        names = (DASHBOARD_NAME, LOOPBACK, *self.further_names)
        return tuple(f"http://{name.lower()}" + ("" if self.port == 80 else f":{self.port}") for name in names)

    def is_allowed(self, host: str) -> bool:
        """Whether the Host header names the core: by a name of its own and its port, or by a further name.

        A further name may come with any port or none: a proxy before the core listens on one of its own.
        """
        if self._normal(host) in {f"{name}:{self.port}" for name in _OWN_NAMES}:
            return True
        match = _NAME_AND_PORT.fullmatch(host.lower())
        return match is not None and match[1] in {name.lower() for name in self.further_names} - set(_OWN_NAMES)

    def is_dashboard(self, host: str) -> bool:
        """Whether a session counts under this Host."""
        return self._normal(host) == self.dashboard

    def is_moved(self, host: str) -> bool:
        """Whether the request belongs on the dashboard's host instead: a cookie must never be set here."""
        return self._normal(host) == f"{_MOVED_NAME}:{self.port}"

    def _normal(self, host: str) -> str:
        host = host.lower()
        return f"{host}:80" if self.port == 80 and ":" not in host else host

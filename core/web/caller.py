"""Who asks, and what that lets them do. Pure: a caller and a request in, yes or no out.

owner           by session, by the owner's own token, or by a short token of the console: everything
app:<id>        by a token the owner made, with scopes: `all`, `read`, `sync`
service:<id>    a child, by its own token: its own calls of the core, and the types its manifest `uses`
nobody          only what needs no caller, and the doors that the owner opened
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

SCOPES = ("all", "read", "sync")
READING = frozenset({"GET", "HEAD", "OPTIONS"})
DATA_PATHS = frozenset({"", "status", "types", "records", "changes", "facts", "files", "series"})
_KEY_IN_PATH = re.compile(r"~?[A-Za-z0-9_.-]+")
_CORE_READS_OF_A_CHILD = frozenset({"/health", "/map", "/providers"})


@dataclass(frozen=True)
class Caller:
    """Who asks: `actor` as it stands in logs and in X-Locker-Actor, and the scopes they hold.

    `session` tells one browser's session from another's, and opens nothing; empty where a token came.
    """

    actor: str
    scopes: tuple[str, ...] = ()
    session: str = ""

    @property
    def is_owner(self) -> bool:
        """Whether everything is allowed."""
        return "all" in self.scopes

    @property
    def is_nobody(self) -> bool:
        """Whether no valid token or session came."""
        return self.actor == "nobody"

    @property
    def service_id(self) -> str | None:
        """The service that asks, if a child does."""
        return self.actor.removeprefix("service:") if self.actor.startswith("service:") else None


NOBODY = Caller("nobody")
OWNER = Caller("owner", ("all",))


def hears(uses: Sequence[str], wanted: str) -> bool:
    """Whether a service that `uses` these types may hear events that match `wanted`.

    >>> hears(["contact/twitter"], "contact"), hears(["contact"], "contact/twitter")
    (False, True)
    """
    if "://" in wanted:
        primary, _, rest = wanted.partition("://")
        network = rest.partition("/")[0]
    else:
        primary, _, network = wanted.partition("/")
    return any(use == primary or (network and use == f"{primary}/{network}") for use in uses)


def app_may(scopes: Sequence[str], *, method: str, path: str) -> bool:
    """Whether an app's scopes reach a path outside the core's own API: services' data and the event stream."""
    if "all" in scopes:
        return True
    parts = path.split("/")
    inside = parts[3] if len(parts) > 3 else ""
    if method in READING:
        return "read" in scopes and (path == "/events" or (parts[1] == "Me" and inside in DATA_PATHS))
    return "sync" in scopes and method == "POST" and parts[1] == "Me" and inside == "sync"


def child_may(
    own_id: str,
    *,
    method: str,
    path: str,
    query: Mapping[str, str],
    uses: Sequence[str],
    network_of: Callable[[str, str], str | None],
) -> bool:
    """Whether a child may ask this: its own paths, and reading others' records of the types it uses.

    `network_of` tells the network of a service's type, or None when there is no such service.
    """
    parts = path.split("/")
    if path in _CORE_READS_OF_A_CHILD:
        return method in READING
    if parts[1] in ("core", "Me") and len(parts) > 2 and parts[2] == own_id:
        return True
    if path == "/events":
        return method in READING and _hears_all(own_id, query, uses)
    if parts[1] != "Me" or method not in READING or len(parts) < 5 or parts[3] != "records":
        return False
    if not all(_KEY_IN_PATH.fullmatch(part) for part in parts[4:]):
        return False
    network = network_of(parts[2], parts[4])
    return network is not None and hears(uses, f"{parts[4]}/{network}")


def _hears_all(own_id: str, query: Mapping[str, str], uses: Sequence[str]) -> bool:
    if query.get("services") == own_id:
        return True
    wanted = [name for name in query.get("types", "").split(",") if name]
    return bool(wanted) and all(hears(uses, name) for name in wanted)

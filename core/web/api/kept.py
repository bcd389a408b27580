"""What stayed of services that were uninstalled."""

from __future__ import annotations

import msgspec

from core.web.records import kept_service
from core.web.routes import Ask, Route


class KeptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An uninstalled service whose data was kept; installing its connector under the same id takes it up again."""

    id: str
    title: str
    connector: str
    installed_at: float
    account: str | None


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """The id under which nothing is kept any more."""

    id: str


def read_kept(ask: Ask) -> list[KeptRecord]:
    """List the uninstalled services whose data was kept."""
    return [
        KeptRecord(
            id=one.id, title=one.title, connector=one.connector, installed_at=one.installed_at, account=one.account
        )
        for one in ask.parts.services.kept()
    ]


def erase_kept(ask: Ask) -> Erased:
    """Erase for good what was kept of an uninstalled service."""
    ask.parts.services.erase_kept(kept_service(ask.parts, ask.service_id).id)
    return Erased(id=ask.service_id)


ROUTES = (
    Route("GET", "/kept", read_kept, "services", answer=list[KeptRecord]),
    Route("DELETE", "/kept/<id>", erase_kept, "services", answer=Erased, is_of_service=False),
)

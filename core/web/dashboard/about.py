"""What this Locker is, where it is, and what its owner should keep in mind."""

from __future__ import annotations

from flask import Response

from core.web.dashboard.visit import Page, Visit


def about(visit: Visit) -> Response:
    """Version, device and addresses, and every notice, put away or not."""
    return visit.show(
        "about",
        notices=visit.desk.notices.all(),
        version=visit.parts.version,
        device=visit.parts.device,
        timezone=visit.parts.timezone,
        port=visit.parts.port,
        names=visit.parts.host_names,
    )


def put_away(visit: Visit) -> Response:
    """Take a notice from the first page for good."""
    visit.desk.notices.put_away(visit.names["notice"])
    return visit.go("/", done="away")


PAGES = (
    Page("GET", "/owner/about", about),
    Page("POST", "/owner/notices/<notice>", put_away),
)

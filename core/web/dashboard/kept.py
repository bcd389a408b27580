"""Uninstalled services whose data was kept: taken up again, or erased for good."""

from __future__ import annotations

from flask import Response

from core.model.errors import LockerError
from core.web.dashboard.visit import Page, Trouble, Visit
from core.web.records import kept_service


def again_form(visit: Visit) -> Response:
    """What it may do is shown before it is installed again."""
    return _again(visit)


def again(visit: Visit) -> Response:
    """Install it again, with the data and the settings that were kept."""
    kept = kept_service(visit.parts, visit.service_id)
    try:
        visit.parts.services.install(kept.connector, settings={}, title=None, service_id=kept.id)
    except LockerError as error:
        return _again(visit, trouble=Trouble.of(error))
    return visit.go(f"/services/{kept.id}", done="again")


def erase_form(visit: Visit) -> Response:
    """Erasing is asked about before anything is removed."""
    return visit.show("erase", kept=kept_service(visit.parts, visit.service_id), fault="")


def erase(visit: Visit) -> Response:
    """Erase what was kept; it wants the id typed."""
    kept = kept_service(visit.parts, visit.service_id)
    if visit.form.get("confirm", "").strip() != kept.id:
        return visit.show("erase", status=422, kept=kept, fault=f"To erase its data, type {kept.id} below.")
    visit.parts.services.erase_kept(kept.id)
    return visit.go("/install", done="gone")


def _again(visit: Visit, *, trouble: Trouble | None = None) -> Response:
    visit.parts.catalog.refresh()
    kept = kept_service(visit.parts, visit.service_id)
    return visit.show("again", trouble=trouble, kept=kept, manifest=visit.parts.catalog.get(kept.connector))


PAGES = (
    Page("GET", "/install/kept/<id>", again_form),
    Page("POST", "/install/kept/<id>", again),
    Page("GET", "/install/kept/<id>/erase", erase_form),
    Page("POST", "/install/kept/<id>/erase", erase),
)

"""The first page, and the way to a new service."""

from __future__ import annotations

from collections import Counter

from flask import Response

from core.model.errors import LockerError
from core.model.ids import is_service_id
from core.model.manifest import Manifest
from core.registry import TITLE_CHARS_MAX
from core.vault import without_secrets
from core.web.dashboard import forms
from core.web.dashboard.form_faults import fault_names, spoken
from core.web.dashboard.overview import overview
from core.web.dashboard.visit import Page, Trouble, Visit
from core.web.notices import key_of
from core.web.parts import Notice
from core.web.records import folder_problems, kept_service


def services(visit: Visit) -> Response:
    """Every service with its condition, and what the owner should know."""
    visit.parts.catalog.refresh()
    found = [overview(visit.parts, service, visit.words) for service in visit.parts.services.list()]
    titles = Counter(one.service.title for one in found)
    twins = {title for title, number in titles.items() if number > 1}
    return visit.show("services", overviews=found, twins=twins, notices=_notices(visit), key_of=key_of)


def available(visit: Visit) -> Response:
    """The connectors that can be installed, and the folders that cannot be used."""
    visit.parts.catalog.refresh()
    installed: dict[str, list[str]] = {}
    for service in visit.parts.services.list():
        installed.setdefault(service.connector, []).append(service.id)
    return visit.show(
        "available",
        manifests=sorted(visit.parts.catalog.entries().values(), key=lambda manifest: manifest.title.lower()),
        installed=installed,
        faults=folder_problems(visit.parts),
        kept=visit.parts.services.kept(),
    )


def install_form(visit: Visit) -> Response:
    """The settings that a new service needs, as a form; filled with those that were kept, but for the secrets."""
    manifest = visit.parts.catalog.get(visit.names["connector"])
    if "again" not in visit.query:
        return _form(visit, manifest, forms.typed_of(manifest.settings, {}))
    kept = kept_service(visit.parts, visit.query["again"])
    typed = forms.typed_of(manifest.settings, without_secrets(manifest.settings, kept.settings))
    return _form(visit, manifest, {**typed, "@id": kept.id, "@title": kept.title})


def install(visit: Visit) -> Response:
    """Install the service; what does not fit is shown beside its input."""
    manifest = visit.parts.catalog.get(visit.names["connector"])
    typed = dict(visit.form)
    if "@add" in typed:
        return _form(visit, manifest, forms.with_row(typed, typed["@add"]))
    if "@remove" in typed:
        return _form(visit, manifest, forms.without_row(typed, typed["@remove"]))
    settings = forms.settings_of(manifest.settings, typed)
    found = visit.parts.services.faults_in(manifest.name, settings)
    faults = fault_names(manifest.settings, typed, found)
    wanted = typed.get("@id", "").strip()
    if wanted and not is_service_id(wanted):
        faults["@id"] = "takes lower case letters, digits and hyphens, beginning with a letter, at most 64"
    if len(typed.get("@title", "").strip()) > TITLE_CHARS_MAX:
        faults["@title"] = f"has more than {TITLE_CHARS_MAX} letters"
    if faults:
        return _form(visit, manifest, typed, faults=faults, status=422)
    try:
        service = visit.parts.services.install(
            manifest.name,
            settings=settings,
            title=typed.get("@title", "").strip() or None,
            service_id=wanted or None,
        )
    except LockerError as error:
        return _form(visit, manifest, typed, trouble=Trouble.of(error))
    return visit.go(f"/services/{service.id}", done="installed")


def _form(
    visit: Visit,
    manifest: Manifest,
    typed: dict[str, str],
    *,
    faults: dict[str, str] | None = None,
    status: int = 200,
    trouble: Trouble | None = None,
) -> Response:
    inputs = forms.inputs(manifest.settings, typed, faults or {})
    return visit.show(
        "install",
        status=status,
        trouble=trouble,
        manifest=manifest,
        inputs=inputs,
        spoken=spoken(inputs, faults or {}),
        typed=typed,
        faults=faults or {},
    )


def _notices(visit: Visit) -> list[Notice]:
    found = list(visit.desk.notices.fresh())
    bad = len(visit.parts.catalog.faults())
    if bad:
        folders = "A connector folder has" if bad == 1 else f"{bad} connector folders have"
        found.append(Notice(f"{folders} faults and cannot be used.", "/install#faults", "See what is wrong"))
    letters = len(visit.parts.events.dead_letters())
    if letters:
        events = "One event was" if letters == 1 else f"{letters} events were"
        found.append(Notice(f"{events} refused by the listener again and again.", "/owner/letters", "Look"))
    return found


PAGES = (
    Page("GET", "/", services),
    Page("GET", "/install", available),
    Page("GET", "/install/<connector>", install_form),
    Page("POST", "/install/<connector>", install),
)

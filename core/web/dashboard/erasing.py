"""Erasing one record for good: asked about first, then told what of it is out of reach."""

from __future__ import annotations

from typing import Any

from flask import Response

from core.model.errors import BadRequest, LockerError, NotFound
from core.model.ids import key_from_path, key_to_path
from core.records import Erasing
from core.web import letting_go
from core.web.dashboard.values import plain
from core.web.dashboard.visit import Page, Trouble, Visit
from core.web.dashboard.words import count

KEY_SHOWN_MAX = 160


def erase_record_form(visit: Visit) -> Response:
    """What goes is said before anything does."""
    return _form(visit)


def erase_record(visit: Visit) -> Response:
    """Erase all that the record's versions said, and name the copies that could not be reached."""
    if visit.form.get("confirm") != "yes":
        raise BadRequest("confirm must be yes.")
    type_name, key = key_from_path(visit.names["type"]), key_from_path(visit.names["key"])
    visit.parts.services.get(visit.service_id)
    what = Erasing(type=type_name, key=key, drop_hash=True)
    try:
        receipt = letting_go.erase(visit.parts, visit.service_id, what)
    except LockerError as error:
        return _form(visit, trouble=Trouble.of(error))
    said = visit.desk.once.put(_said(receipt))
    return visit.go(f"/services/{visit.service_id}/records/{key_to_path(type_name)}/{key_to_path(key)}", said=said)


def _form(visit: Visit, *, trouble: Trouble | None = None) -> Response:
    service, type_name = visit.parts.services.get(visit.service_id), key_from_path(visit.names["type"])
    key = key_from_path(visit.names["key"])
    with visit.parts.reader(service.id) as reader:
        if not reader.history(type_name, key, limit=1, after=None).facts:
            raise NotFound(f"{service.id} has no {type_name[:64]} {key[:80]!r}.")
    return visit.show(
        "erase_record",
        trouble=trouble,
        service=service,
        type_name=type_name,
        key=plain(key, KEY_SHOWN_MAX),
        record=f"/services/{service.id}/records/{key_to_path(type_name)}/{key_to_path(key)}",
    )


def _said(receipt: dict[str, Any]) -> str:
    number, unreachable = receipt.get("count"), receipt.get("unreachable")
    said = f"{count(number, 'version') if isinstance(number, int) else 'It is'} erased."
    if isinstance(unreachable, list) and unreachable:
        said += f" These backups still hold it: {', '.join(map(str, unreachable))}."
    return said


PAGES = (
    Page("GET", "/services/<id>/erase/<type>/<key>", erase_record_form),
    Page("POST", "/services/<id>/erase/<type>/<key>", erase_record),
)

"""Records that a service could not store: its owner has them tried again, or lets go of one."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from flask import Response

from core.model.errors import AnswerInvalid, BadRequest, Conflict
from core.store import Retried
from core.web.dashboard.visit import Page, Visit
from core.web.dashboard.words import count

CALL_S = 30.0
CALLS_MAX = 20


class _Problem(msgspec.Struct):
    detail: str = "The connector refused."
    remedy: str | None = None


def retry(visit: Visit) -> Response:
    """Try all of them again, and tell what became of them."""
    visit.parts.services.get(visit.service_id)
    stored = still = after = 0
    for _ in range(CALLS_MAX):
        done = _retry(visit, after)
        stored += done.new + done.updated + done.same + done.deleted
        still += done.refused + done.kept + done.superseded
        if done.next is None:
            break
        after = done.next
    said = f"{count(stored, 'record')} stored" + (f", {still:,} still set aside." if still else ".")
    return visit.go(f"/services/{visit.service_id}", said=visit.desk.once.put(said))


def drop(visit: Visit) -> Response:
    """Let go of one; a receipt of that stays."""
    visit.parts.services.get(visit.service_id)
    position = visit.form.get("position", "")
    if not (position.isascii() and position.isdecimal() and len(position) < 19):
        raise BadRequest("position must be a number.")
    store = visit.parts.kept_store(visit.service_id)
    if store is not None:
        store.drop_quarantined(int(position), actor="owner")
    else:
        _call(visit, "DELETE", f"/quarantine/{position}")
    return visit.go(f"/services/{visit.service_id}", said=visit.desk.once.put("The record is let go."))


def _retry(visit: Visit, after: int) -> Retried:
    store = visit.parts.kept_store(visit.service_id)
    if store is not None:
        return store.retry_quarantined(after=after)
    body = _call(visit, "POST", "/quarantine/retry", msgspec.json.encode({"after": after}))
    try:
        return msgspec.json.decode(body, type=Retried)
    except msgspec.MsgspecError as err:
        raise AnswerInvalid(f"{visit.service_id} does not tell what became of its records") from err


def _call(visit: Visit, method: str, path: str, body: bytes = b"") -> bytes:
    """What the child answers; raises Conflict with the words of its refusal."""
    status, answer = visit.parts.children.call(
        visit.service_id, method=method, path=path, body=body, content_type="application/json", timeout_s=CALL_S
    )
    if status >= 400:
        problem = _Problem()
        with suppress(msgspec.MsgspecError):
            problem = msgspec.json.decode(answer, type=_Problem)
        raise Conflict(problem.detail, remedy=problem.remedy)
    return answer


PAGES = (
    Page("POST", "/services/<id>/set-aside/retry", retry),
    Page("POST", "/services/<id>/set-aside/drop", drop),
)

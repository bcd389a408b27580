"""Records that a service could not store: its owner has them tried again, or lets go of one."""

from __future__ import annotations

import msgspec
from flask import Response

from core.model.errors import AnswerInvalid
from core.store import Retried
from core.web.caller import OWNER
from core.web.child_answers import ask_child
from core.web.dashboard.visit import Page, Visit
from core.web.dashboard.words import count
from core.web.numbers import POSITION_MAX, whole

CALL_S = 30.0
CALLS_MAX = 20


def retry(visit: Visit) -> Response:
    """Try them again, and tell what became of them; of very many a part at a time."""
    visit.parts.services.get(visit.service_id)
    stored = still = after = 0
    rest = ""
    for _ in range(CALLS_MAX):
        done = _retry(visit, after)
        stored += done.new + done.updated + done.same + done.deleted
        still += done.refused + done.kept + done.superseded
        if done.next is None:
            break
        after = done.next
    else:
        rest = " There are more: try again."
    said = f"{count(stored, 'record')} stored" + (f", {still:,} still set aside." if still else ".")
    return visit.go(f"/services/{visit.service_id}", said=visit.desk.once.put(said + rest))


def drop(visit: Visit) -> Response:
    """Let go of one; a receipt of that stays."""
    visit.parts.services.get(visit.service_id)
    position = whole(visit.form, "position", otherwise=None, least=0, most=POSITION_MAX)
    store = visit.parts.kept_store(visit.service_id)
    if store is not None:
        store.drop_quarantined(position, actor=OWNER.actor)
    else:
        ask_child(visit.parts, visit.service_id, method="DELETE", path=f"/quarantine/{position}", timeout_s=CALL_S)
    return visit.go(f"/services/{visit.service_id}", said=visit.desk.once.put("The record is let go."))


def _retry(visit: Visit, after: int) -> Retried:
    store = visit.parts.kept_store(visit.service_id)
    if store is not None:
        return store.retry_quarantined(after=after)
    asked = msgspec.json.encode({"after": after})
    body = ask_child(
        visit.parts, visit.service_id, method="POST", path="/quarantine/retry", body=asked, timeout_s=CALL_S
    )
    try:
        return msgspec.json.decode(body, type=Retried)
    except msgspec.MsgspecError as err:
        raise AnswerInvalid(f"{visit.service_id} does not tell what became of its records") from err


PAGES = (
    Page("POST", "/services/<id>/set-aside/retry", retry),
    Page("POST", "/services/<id>/set-aside/drop", drop),
)

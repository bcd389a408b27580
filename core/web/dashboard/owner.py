"""The owner's own pages: the diary, the tokens, what was changed, and the events nobody took."""

from __future__ import annotations

from datetime import date, timedelta

from flask import Response

from core.model.errors import BadRequest, LockerError
from core.web.caller import SCOPES
from core.web.dashboard.visit import Page, Trouble, Visit
from core.web.numbers import POSITION_MAX, whole
from core.web.tokens import actor_of

ENTRIES_SHOWN = 500
ACCESSES_SHOWN = 100
SCOPE_TITLES = {
    "all": "everything you may do",
    "read": "read what your services hold",
    "sync": "start syncs",
}


def diary(visit: Visit) -> Response:
    """One day of the diary, of all services or of one."""
    today = visit.words.day(visit.words.now)
    day = _day(visit.query.get("day") or today)
    service_id = visit.query.get("service") or None
    entries = visit.desk.diary.entries(
        since=day.isoformat(), until=day.isoformat(), service_id=service_id, limit=ENTRIES_SHOWN
    )
    return visit.show(
        "diary",
        entries=entries,
        entries_max=ENTRIES_SHOWN,
        day=day,
        previous=day - timedelta(days=1),
        following=day + timedelta(days=1) if day.isoformat() < today else None,
        today=today,
        services=visit.parts.services.list(),
        service_id=service_id,
    )


def tokens(visit: Visit) -> Response:
    """The tokens for scripts and apps, without their text; but for one just made, this once."""
    made, _, token = (visit.desk.once.take(visit.query.get("made", "")) or "").rpartition("\n")
    return _tokens(visit, made=made, token=token)


def create_token(visit: Visit) -> Response:
    """Make a token; the page that is led to shows its text, once, so loading it again makes no second one."""
    scopes = [scope for scope in SCOPES if f"scope-{scope}" in visit.form]
    try:
        made, token = visit.desk.tokens.create(visit.form.get("label", ""), scopes)
    except LockerError as error:
        return _tokens(visit, trouble=Trouble.of(error))
    return visit.go("/owner/tokens", made=visit.desk.once.put(f"{made.label}\n{token}"))


def delete_token(visit: Visit) -> Response:
    """Delete a token."""
    visit.desk.revoke(visit.names["token"])
    return visit.go("/owner/tokens", done="deleted")


def letters(visit: Visit) -> Response:
    """The events that their listener kept refusing."""
    return visit.show("letters", letters=visit.parts.events.dead_letters())


def retry_letter(visit: Visit) -> Response:
    """Deliver an event again."""
    visit.parts.events.retry(int(visit.names["letter"]))
    return visit.go("/owner/letters", done="retried")


def drop_letter(visit: Visit) -> Response:
    """Give an event up."""
    visit.parts.events.drop(int(visit.names["letter"]))
    return visit.go("/owner/letters", done="dropped")


def accesses(visit: Visit) -> Response:
    """What the owner and the apps changed, a page at a time."""
    before = whole(visit.query, "before", otherwise=0, least=0, most=POSITION_MAX) or None
    entries = visit.desk.accesses.entries(before=before, limit=ACCESSES_SHOWN)
    return visit.show(
        "accesses",
        entries=entries,
        older=entries[-1].id if len(entries) == ACCESSES_SHOWN else None,
        is_first_page="before" not in visit.query,
        labels={actor_of(token.id): token.label for token in visit.desk.tokens.list()},
    )


def _tokens(
    visit: Visit, *, trouble: Trouble | None = None, made: str | None = None, token: str | None = None
) -> Response:
    return visit.show(
        "tokens",
        trouble=trouble,
        tokens=visit.desk.tokens.list(),
        titles=SCOPE_TITLES,
        made=made,
        token=token,
        label=visit.form.get("label", "") if trouble else "",
        address=f"http://127.0.0.1:{visit.parts.port}",
    )


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as err:
        raise BadRequest(f"{text[:20]!r} is not a day such as 2026-11-20.") from err
    if not date(1970, 1, 2) <= day <= date(9998, 12, 31):
        raise BadRequest("The diary knows no such day.")
    return day


PAGES = (
    Page("GET", "/owner/diary", diary),
    Page("GET", "/owner/tokens", tokens),
    Page("POST", "/owner/tokens", create_token),
    Page("POST", "/owner/tokens/<token>/delete", delete_token),
    Page("GET", "/owner/access", accesses),
    Page("GET", "/owner/letters", letters),
    Page("POST", "/owner/letters/<int:letter>/retry", retry_letter),
    Page("POST", "/owner/letters/<int:letter>/drop", drop_letter),
)

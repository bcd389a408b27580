"""One request to the dashboard: what it asks, and the ways to answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import Flask, Response, request
from werkzeug.datastructures import FileStorage

from core.model.errors import BadRequest, Forbidden, LockerError, NotFound
from core.web.caller import Caller
from core.web.dashboard import words
from core.web.dashboard.condition import sentence_of
from core.web.dashboard.links import link
from core.web.dashboard.words import Words
from core.web.parts import Parts
from core.web.problems import no_service
from core.web.rendering import page
from core.web.routes import Desk, caller_of_request

# What a page says after a deed; the address carries only the key, so no text can be put into a page by a link.
DONE = {
    "installed": "Installed. The first sync starts by itself.",
    "settings": "The settings are saved.",
    "settings-sync": "The settings are saved; a sync has begun.",
    "settings-unsynced": "The settings are saved. A sync with them could not begin; its log says why.",
    "sync": "The sync has been started.",
    "woken": "It is awake.",
    "stopped": "Stopped. It starts again when it is needed.",
    "restarted": "Restarted.",
    "enabled": "Switched on.",
    "disabled": "Switched off.",
    "paused": "Paused: it answers, and does not sync.",
    "resumed": "Resumed.",
    "renamed": "The name is changed.",
    "opened": "The door is open: callers need no token of Locker's there.",
    "shut": "The door is shut.",
    "store-opened": "The store is open: programs that you start may write into it.",
    "store-shut": "The store is shut to other programs.",
    "keeping": "Saved. What need not be kept any more goes within a day, with a receipt.",
    "keeping-more": "Saved.",
    "kept": "Uninstalled. Its data is kept, and listed where services are added.",
    "again": "Installed again, with what was kept.",
    "gone": "What was kept is erased.",
    "erased": "Uninstalled, and its data erased.",
    "deleted": "The token is deleted: it opens nothing any more.",
    "retried": "The events are being delivered again.",
    "dropped": "The events are given up.",
    "away": "Put away. It still stands on the page about this Locker.",
}


@dataclass(frozen=True)
class Trouble:
    """Why a deed failed, as it stands at the top of the page it was asked from; `title` may be empty."""

    title: str
    detail: str
    remedy: str
    status: int

    @classmethod
    def of(cls, error: LockerError) -> Trouble:
        """What the error says."""
        return cls.told(error.code, error.title, error.detail, remedy=error.remedy, status=error.status)

    @classmethod
    def told(cls, code: str, title: str, detail: str, *, remedy: str, status: int) -> Trouble:
        """The same of a problem document; what was typed or sent is named by the sentence alone."""
        shown = "" if code == BadRequest.code else title
        help_ = "" if code == BadRequest.code and remedy == BadRequest.default_remedy else sentence_of(remedy)
        return cls(shown, sentence_of(detail), help_, status)


@dataclass(frozen=True)
class Visit:
    """What a page's view works with."""

    desk: Desk
    caller: Caller
    names: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    words: Words
    files: Mapping[str, FileStorage] = field(default_factory=dict)

    @property
    def parts(self) -> Parts:
        """The other rooms."""
        return self.desk.parts

    @property
    def service_id(self) -> str:
        """The service that the path names."""
        return self.names["id"]

    def show(self, template: str, *, status: int = 200, trouble: Trouble | None = None, **values: Any) -> Response:
        """The page of that template, with what a deed before it did or why it failed."""
        html = page(
            f"{template}.html",
            words=self.words,
            count=words.count,
            plural=words.plural,
            size=words.size,
            span=words.span,
            link=link,
            done=DONE.get(self.query.get("done", "")) or self.desk.once.take(self.query.get("said", "")),
            trouble=trouble,
            **values,
        )
        return Response(html, trouble.status if trouble else status, content_type="text/html; charset=utf-8")

    def go(self, path: str, **query: str) -> Response:
        """Lead the browser to another page, so that reloading it repeats no deed."""
        return Response(status=303, headers={"Location": path + (f"?{urlencode(query)}" if query else "")})


def query_of(said: Mapping[str, str]) -> str:
    """The query of an address within the same page, with its `?`; what is empty is left out.

    >>> query_of({"q": "light house", "type": ""}), query_of({})
    ('?q=light+house', '?')
    """
    return f"?{urlencode({name: text for name, text in said.items() if text})}"


@dataclass(frozen=True)
class Page:
    """One method of one address of the dashboard."""

    method: str
    path: str
    view: Callable[[Visit], Response]


def serve_pages(flask: Flask, pages: Iterable[Page], desk: Desk) -> None:
    """Give the Flask application the pages; they are the owner's alone."""
    zone = ZoneInfo(desk.parts.timezone)
    for one in pages:
        name = f"dashboard.{one.view.__module__.rpartition('.')[2]}.{one.view.__name__}"
        flask.add_url_rule(one.path, endpoint=name, view_func=_view(one, desk, zone), methods=[one.method])


def _view(one: Page, desk: Desk, zone: ZoneInfo) -> Callable[..., Response]:
    def view(**names: str) -> Response:
        caller = caller_of_request()
        if not caller.is_owner:
            raise Forbidden("The dashboard is the owner's.")
        words = Words(desk.parts.clock.now(), zone)
        visit = Visit(
            desk, caller, names, request.args.to_dict(), request.form.to_dict(), words, request.files.to_dict()
        )
        return _for_a_person(one.view, visit)

    return view


def _for_a_person(view: Callable[[Visit], Response], visit: Visit) -> Response:
    """The view's answer; what a person cannot find is told without the addresses that programs ask."""
    try:
        return view(visit)
    except NotFound as error:
        if visit.caller.is_owner and "id" in visit.names and not _is_known(visit):
            raise no_service() from error
        raise NotFound(error.detail, remedy="Go to your services and look for it from there.") from error


def _is_known(visit: Visit) -> bool:
    return any(service.id == visit.service_id for service in visit.parts.services.list())

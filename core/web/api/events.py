"""What a service tells and hears: `committed`, `event`, `listen`, `deafen`, and the letters nobody took."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from core.model.errors import BadRequest, Forbidden, NotFound
from core.model.event import Idr
from core.model.manifest import Manifest
from core.web.api.schedules import Callback
from core.web.caller import hears
from core.web.records import manifest_of
from core.web.routes import CHILD, Ask, Route

WANTED_LENGTH_MAX = 400
SEQ_MAX = 2**63 - 1
Wanted = Annotated[str, msgspec.Meta(min_length=1, max_length=WANTED_LENGTH_MAX)]


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """How far the service's log reaches."""

    seq: Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)]


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The event's id and address."""

    id: str
    idr: str


class EventBody(msgspec.Struct, frozen=True, kw_only=True):
    """An event in one of its three forms: `{type, obj}`, the same with `action`, or `{idr, data, action}`."""

    type: str | None = None
    obj: dict[str, Any] | None = None
    idr: str | None = None
    data: dict[str, Any] | None = None
    action: Literal["new", "update", "delete"] = "new"


class Listening(Callback, frozen=True, kw_only=True):
    """Which events, and the path under the service's own address that takes them."""

    type: Wanted


class ListenerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who hears events; `source` says whether the manifest or a call asked for it."""

    service: str
    type: str
    path: str
    source: str


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that its listener kept refusing."""

    id: int
    service: str
    path: str
    first_seen: float
    last_tried: float
    tries: int
    problem: str | None


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The letter that was dealt with."""

    id: int


def committed(ask: Ask) -> Committed:
    """Take note that the service's log reaches `seq`; losing this call is harmless."""
    ask.parts.events.committed(ask.service_id, ask.body.seq)
    return Committed(seq=ask.body.seq)


def publish(ask: Ask) -> Published:
    """Publish an event of the service's own, in any of three forms; answers its id."""
    body: EventBody = ask.body
    manifest = manifest_of(ask.parts, ask.parts.services.get(ask.service_id))
    idr, value = _address(ask.service_id, manifest, body)
    event = ask.parts.events.publish(ask.service_id, idr=idr, action=body.action, value=value)
    return Published(id=event.id, idr=event.idr)


def listen(ask: Ask) -> Listening:
    """Deliver events of a type to a path of the service, from now on and across restarts."""
    body: Listening = ask.body
    path = body.target
    if ask.caller.service_id is not None:
        manifest = manifest_of(ask.parts, ask.parts.services.get(ask.service_id))
        if manifest is None or not hears(manifest.uses, body.type):
            raise Forbidden(
                f"{ask.service_id} may not hear {body.type[:100]}.",
                remedy="Name the type in uses of its connector.toml; the owner sees that at install.",
            )
    ask.parts.events.listen(ask.service_id, wanted=body.type, path=path)
    return Listening(type=body.type, path=path)


def deafen(ask: Ask) -> Listening:
    """End what `listen` began."""
    body: Listening = ask.body
    path = body.target
    if not ask.parts.events.deafen(ask.service_id, wanted=body.type, path=path):
        raise NotFound(f"{ask.service_id} does not listen to {body.type[:100]} at {path[:200]}.")
    return Listening(type=body.type, path=path)


def read_listeners(ask: Ask) -> list[ListenerRecord]:
    """List what the service listens to."""
    return [
        ListenerRecord(service=one.service, type=one.type, path=one.path, source=one.source)
        for one in ask.parts.events.listeners()
        if one.service == ask.service_id
    ]


def read_dead_letters(ask: Ask) -> list[Letter]:
    """List the events that their listener kept refusing."""
    return [
        Letter(
            id=letter.id,
            service=letter.service,
            path=letter.path,
            first_seen=letter.first_seen,
            last_tried=letter.last_tried,
            tries=letter.tries,
            problem=letter.problem,
        )
        for letter in ask.parts.events.dead_letters()
    ]


def retry_dead_letter(ask: Ask) -> Done:
    """Deliver the event again now."""
    number = _number(ask.names["letter"])
    ask.parts.events.retry(number)
    return Done(id=number)


def drop_dead_letter(ask: Ask) -> Done:
    """Give the event up for good."""
    number = _number(ask.names["letter"])
    ask.parts.events.drop(number)
    return Done(id=number)


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise NotFound(f"There is no letter {text[:20]!r}.")
    return int(text)


def _address(service_id: str, manifest: Manifest | None, body: EventBody) -> tuple[Idr, dict[str, Any]]:
    """The event's address and value. A service speaks in the name of its own network only."""
    if body.idr is not None:
        if body.data is None:
            raise BadRequest("An event with an idr carries its object in data.")
        idr = Idr.parse(body.idr)
        if idr.network not in _networks(service_id, manifest, idr.type):
            raise Forbidden(f"{service_id} may not publish in the name of {idr.network[:100]}.")
        return idr, body.data
    if not body.type or body.obj is None:
        raise BadRequest("An event needs type and obj, or idr and data.")
    spec = manifest.types.get(body.type) if manifest else None
    key = body.obj.get(spec.key if spec else "id", "")
    network = manifest.network_of(body.type) if manifest else service_id
    return Idr(body.type, network, key="" if isinstance(key, dict | list) else str(key)), body.obj


def _networks(service_id: str, manifest: Manifest | None, type_name: str) -> set[str]:
    return {service_id, *((manifest.name, manifest.network_of(type_name)) if manifest else ())}


ROUTES = (
    Route("POST", "/core/<id>/committed", committed, "events", CHILD, body=Committed, answer=Committed),
    Route("POST", "/core/<id>/event", publish, "events", CHILD, body=EventBody, answer=Published),
    Route("POST", "/core/<id>/listen", listen, "events", CHILD, body=Listening, answer=Listening),
    Route("POST", "/core/<id>/deafen", deafen, "events", CHILD, body=Listening, answer=Listening),
    Route("GET", "/core/<id>/listeners", read_listeners, "events", CHILD, answer=list[ListenerRecord]),
    Route("GET", "/dead-letters", read_dead_letters, "events", answer=list[Letter]),
    Route("POST", "/dead-letters/<letter>/retry", retry_dead_letter, "events", answer=Done),
    Route("DELETE", "/dead-letters/<letter>", drop_dead_letter, "events", answer=Done),
)

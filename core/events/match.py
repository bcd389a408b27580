"""Which events a listener asked for, and a fact as the event it is heard as. Pure."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote, unquote

from core.model.errors import BadRequest
from core.model.event import Event, EventAction, Idr
from core.model.fact import Fact

WANTED_CHARS_MAX = 512

_SAFE = "-._~"


def matches(wanted: str, idr: Idr) -> bool:
    """Whether `wanted` is one of the six names of the address.

    They are type, type/network, context, context/network, type://network/context and type://network.

    >>> tweet = Idr("tweet", "twitter", "timeline", "me", "1039")
    >>> [matches(name, tweet) for name in ("tweet", "timeline/twitter", "tweet://twitter", "timeline/facebook")]
    [True, True, True, False]
    """
    return wanted_name(wanted) in names_of(idr)


def names_of(idr: Idr) -> frozenset[str]:
    """Every name under which the address can be wanted, in normal form."""
    return _typed_names(idr.type, idr.network, idr.context) | _context_names(idr.network, idr.context)


def typed_names_of(idr: Idr) -> frozenset[str]:
    """Those of the names that begin with the type.

    A stream is often called like one of the types it brings, so whoever asks for a type by its plain name, and
    means no more than that, is not given all that the stream of that name brings.
    """
    return _typed_names(idr.type, idr.network, idr.context)


@lru_cache(maxsize=4096)
def _typed_names(kind: str, network: str, context: str) -> frozenset[str]:
    kind, network, context = (quote(part, safe=_SAFE) for part in (kind, network, context))
    names = {kind, f"{kind}/{network}", f"{kind}://{network}"}
    return frozenset(names | {f"{kind}://{network}/{context}"} if context else names)


@lru_cache(maxsize=4096)
def _context_names(network: str, context: str) -> frozenset[str]:
    network, context = quote(network, safe=_SAFE), quote(context, safe=_SAFE)
    return frozenset((context, f"{context}/{network}")) if context else frozenset()


def wanted_name(text: str) -> str:
    """The normal form of what a listener wants, each part percent-encoded; raises BadRequest for anything else.

    >>> wanted_name("My Data/push"), wanted_name("my_data://push/")
    ('My%20Data/push', 'my_data://push')
    """
    if not text or len(text) > WANTED_CHARS_MAX or any(sign in text for sign in "?#"):
        raise _not_wanted(text)
    if "://" in text:
        idr = Idr.parse(text)
        head = f"{quote(idr.type, safe=_SAFE)}://{quote(idr.network, safe=_SAFE)}"
        return f"{head}/{quote(idr.context, safe=_SAFE)}" if idr.context else head
    parts = text.split("/")
    if len(parts) > 2 or not all(parts):
        raise _not_wanted(text)
    return "/".join(quote(_decoded(part), safe=_SAFE) for part in parts)


def names_network(wanted: str) -> bool:
    """Whether a wanted name says whose events it means, rather than anybody's."""
    return "/" in wanted


def covering(wanted: str) -> tuple[str, ...]:
    """The names of which one must be declared by whoever wants this: the wanted one itself, or a wider one."""
    if "://" in wanted:
        kind, _, rest = wanted.partition("://")
        network, _, context = rest.partition("/")
        wider = (f"{kind}://{network}", f"{kind}/{network}", kind)
        return (wanted, *wider, *((f"{context}/{network}", context) if context else ()))
    head, slash, _ = wanted.partition("/")
    return (wanted, head) if slash else (wanted,)


def types_of(idr: Idr) -> tuple[str, str]:
    """The event's type as somebody may have declared it: plain, and with its network."""
    return idr.type, f"{idr.type}/{idr.network}"


def idr_of(fact: Fact, *, network: str, account: str) -> Idr:
    """The address of the record that the fact is a version of; its context is the stream that brought it."""
    stream = (fact.producer or {}).get("stream")
    return Idr(fact.type, network, stream if isinstance(stream, str) else "", account, fact.key)


def event_of(fact: Fact, before: Fact | None, *, service_id: str, network: str, account: str) -> Event:
    """The fact as a listener hears it; `before` is the fact that it followed.

    A record that comes back after its deletion is new.
    """
    replaced = before.value if before is not None and before.action == "put" else None
    action: EventAction = "delete" if fact.action == "delete" else "new" if replaced is None else "update"
    return Event(
        id=fact.id,
        idr=str(idr_of(fact, network=network, account=account)),
        action=action,
        service=service_id,
        type=fact.type,
        key=fact.key,
        seq=fact.seq,
        at=fact.recorded_at,
        value=fact.value,
        common=fact.common,
        before=replaced,
    )


def _decoded(part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError as err:
        raise _not_wanted(part) from err


def _not_wanted(text: str) -> BadRequest:
    return BadRequest(
        f"{text[:80]!r} is not the type of an event",
        remedy="Write a type, type/network, context, context/network, type://network or type://network/context.",
    )

"""Ops about the conversation itself: who speaks, whether the server is there, how it is."""

from __future__ import annotations

from typing import Any

import msgspec

from core.model.errors import TokenRequired
from core.netstore import protocol
from core.netstore.server.call import Answer, Call, Caller, Follow
from core.netstore.server.desk import Desk
from core.netstore.server.door import READ, Grant, ServedStore

AUTH = "auth"
FEATURES = (
    "batch", "paged_replay", "subscribe_cursor", "heartbeat", "if_seq", "read", "history", "query", "search", "lineage",
)  # fmt: skip


class _Hello(msgspec.Struct):
    client: str = ""
    proto: int = protocol.PROTOCOL
    features: list[str] = []
    service: str | None = None


class _Auth(msgspec.Struct):
    token: str
    service: str | None = None


def ping(_: Call) -> Answer:
    """The server is there."""
    return protocol.success({"pong": True})


def close(_: Call) -> Answer:
    """The conversation ends after this reply."""
    return protocol.success()


def hello(call: Call) -> Answer:
    """What this server speaks, and where the store stands for those who may read it."""
    asked = protocol.params(call.request, _Hello)
    if asked.service is not None:
        call.caller.service = asked.service
    limits = call.desk.limits
    members: dict[str, Any] = {
        "proto": protocol.PROTOCOL,
        "features": FEATURES,
        "max_frame": limits.frame_bytes_max,
        "max_reply": limits.reply_bytes_max,
    }
    if (store := _readable(call.caller)) is not None:
        members |= {"store_epoch": store.epoch(), "head": store.head()}
    return protocol.success(members)


def auth(call: Call) -> Answer:
    """What the token opens."""
    asked = protocol.params(call.request, _Auth)
    admit(call.caller, asked.token, desk=call.desk)
    if asked.service is not None:
        call.caller.service = asked.service
    return protocol.success({"scopes": sorted(known(call.caller).scopes)})


def admit(caller: Caller, token: object, *, desk: Desk) -> None:
    """Know the caller by its token from here on; raises TokenRequired for a wrong one, and counts it."""
    grant_of = caller.door.grant_of
    if grant_of is None:
        return
    seen = None
    while seen != desk.revocations:  # Else the token may have gone between the look at it and the grant.
        seen = desk.revocations
        caller.grant = grant_of(token) if isinstance(token, str) else None
    if caller.grant is None:
        caller.failures += 1
        raise TokenRequired("The token is not valid.")
    caller.failures = 0


def known(caller: Caller) -> Grant:
    """What the caller may do; raises TokenRequired for one who is not known, or not any more."""
    grant = caller.grant
    if grant is None:
        raise TokenRequired("This needs a token.")
    return grant


def stats(call: Call) -> Answer:
    """The few numbers that the Ruby client asks for, and where the store stands."""
    total, active = call.desk.total()
    head = call.store.head()
    return protocol.success(
        {
            "facts_written": total.facts_written,
            "connections_active": active,
            "uptime_ms": call.desk.uptime_ms(),
            "facts_total": call.ask("fact_count"),
            "head_seq": head,
        }
    )


def server_status(call: Call) -> Answer:
    """Everything that is counted."""
    caller = call.caller
    return protocol.success(call.desk.snapshot(call.store, transport=caller.transport, address=caller.address))


def following(follow: Follow) -> bytes:
    """The reply that begins a subscription."""
    cursor = {"store_epoch": follow.tail.store.epoch(), "seq": follow.since}
    return protocol.success({"cursor": cursor, "head": follow.head})


def _readable(caller: Caller) -> ServedStore | None:
    """The store that the caller means, where they may read it; raises NotFound."""
    grant = caller.grant
    if grant is None:
        return None
    service = grant.only_service if caller.service is None else caller.service
    return caller.door.store_of(service) if grant.allows(READ, service) else None

"""Ops that remove facts by receipt, or check what is kept. The store does it; these pass it on."""

from __future__ import annotations

from typing import Any

import msgspec

from core.netstore import protocol
from core.netstore.limits import GRACE_S, Seq
from core.netstore.server.call import Answer, Call
from core.netstore.server.reads import LIMIT_DEFAULT
from core.netstore.server.writes import check_not_draining
from core.store import Collected, Policy, Retried


class _Acting(msgspec.Struct, kw_only=True):
    """Who a receipt is to name behind the caller."""

    actor: str | None = None


class _Prune(_Acting):
    ids: list[str]


class _Erase(_Acting):
    ids: list[str] = []
    record: tuple[str, str] | None = None
    drop_hash: bool = False


class _Receipts(msgspec.Struct):
    limit: int = LIMIT_DEFAULT
    before: Seq | None = None


class _SetPolicy(_Acting):
    store: str
    policy: Policy


class _Retry(msgspec.Struct):
    types: list[str] | None = None
    limit: int = LIMIT_DEFAULT
    after: Seq = 0


class _Drop(_Acting):
    position: Seq


class _Collect(_Acting):
    grace_s: float = GRACE_S


def compact(call: Call) -> Answer:
    """Let go what the store's policies let go; the receipts."""
    return protocol.success({"receipts": _removed(call, "compact", protocol.params(call.request, _Acting))})


def prune(call: Call) -> Answer:
    """Remove the facts of these ids; the receipt."""
    asked = protocol.params(call.request, _Prune)
    return protocol.success({"receipt": _removed(call, "prune", asked, asked.ids)})


def erase(call: Call) -> Answer:
    """Erase what facts said, in every copy in reach; that they were stays. The receipt."""
    asked = protocol.params(call.request, _Erase)
    receipt = _removed(call, "erase", asked, ids=asked.ids, record=asked.record, drop_hash=asked.drop_hash)
    return protocol.success({"receipt": receipt})


def receipts(call: Call) -> Answer:
    """What left the store, the latest first."""
    asked = protocol.params(call.request, _Receipts)
    return protocol.success({"receipts": call.ask("receipts", asked.limit, before=asked.before)})


def verify(call: Call) -> Answer:
    """Every fact, checked against its digest."""
    return protocol.success({"verify": call.ask("verify")})


def policies(call: Call) -> Answer:
    """How long superseded facts of types are kept that are not kept for ever."""
    return protocol.success({"policies": call.ask("policies")})


def set_policy(call: Call) -> Answer:
    """Keep how long superseded facts of a type are kept."""
    asked = protocol.params(call.request, _SetPolicy)
    check_not_draining(call)
    call.ask("set_policy", asked.store, asked.policy, actor=call.caller.actor_for(asked.actor))
    return protocol.success()


def retry_quarantined(call: Call) -> Answer:
    """Commit records in quarantine again; what became of them, counted."""
    asked = protocol.params(call.request, _Retry)
    check_not_draining(call)
    done: Retried = call.ask("retry_quarantined", asked.types, limit=asked.limit, after=asked.after)
    call.counts.facts_written += done.new + done.updated + done.deleted
    return protocol.success(msgspec.to_builtins(done))


def drop_quarantined(call: Call) -> Answer:
    """Let go of a record in quarantine, by receipt; what it was."""
    asked = protocol.params(call.request, _Drop)
    check_not_draining(call)
    gone = call.ask("drop_quarantined", asked.position, actor=call.caller.actor_for(asked.actor))
    return protocol.success({"dropped": gone})


def collect_garbage(call: Call) -> Answer:
    """Remove files that nothing names, by receipt; how many, and how large."""
    asked = protocol.params(call.request, _Collect)
    check_not_draining(call)
    done: Collected = call.ask("collect_garbage", grace_s=asked.grace_s, actor=call.caller.actor_for(asked.actor))
    return protocol.success(msgspec.to_builtins(done))


def _removed(call: Call, method: str, asked: _Acting, *arguments: Any, **named: Any) -> Any:
    check_not_draining(call)
    done = call.ask(method, *arguments, actor=call.caller.actor_for(asked.actor), **named)
    call.desk.forget(call.store)
    return done

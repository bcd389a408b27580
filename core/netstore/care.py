"""Ops that remove facts by receipt, keep a copy, or check what is kept. The store does it; these pass it on."""

from __future__ import annotations

from typing import Any

import msgspec

from core.netstore import protocol
from core.netstore.call import Answer, Call
from core.netstore.writes import check_not_draining


class _Compact(msgspec.Struct):
    stores: list[str] = []


class _Prune(msgspec.Struct):
    ids: list[str]
    reason: str = ""


class _Erase(msgspec.Struct):
    ids: list[str]
    reason: str = ""
    drop_hash: bool = False


def compact(call: Call) -> Answer:
    """Drop superseded facts by the store's policies."""
    asked = protocol.params(call.request, _Compact)
    return _removed(call, "compact", asked.stores)


def prune(call: Call) -> Answer:
    """Drop the listed facts."""
    asked = protocol.params(call.request, _Prune)
    return _removed(call, "prune", asked.ids, reason=asked.reason)


def erase(call: Call) -> Answer:
    """Remove what the listed facts said, everywhere; that they were stays."""
    asked = protocol.params(call.request, _Erase)
    return _removed(call, "erase", asked.ids, reason=asked.reason, drop_hash=asked.drop_hash)


def backup(call: Call) -> Answer:
    """A verified copy of the store in its own folder; says where and what it holds."""
    return protocol.success({"backup": msgspec.to_builtins(call.ask("backup"))})


def verify(call: Call) -> Answer:
    """Every fact, checked against its digest."""
    return protocol.success({"verify": msgspec.to_builtins(call.ask("verify"))})


def _removed(call: Call, method: str, *arguments: Any, **named: Any) -> bytes:
    check_not_draining(call)
    receipt = call.ask(method, *arguments, actor=call.caller.actor, **named)
    call.desk.forget(call.store)
    return protocol.success({"receipt": msgspec.to_builtins(receipt)})

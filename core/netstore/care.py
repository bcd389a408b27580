"""Ops that remove facts by receipt, keep a copy, or check what is kept. The store does it; these pass it on."""

from __future__ import annotations

from typing import Any

import msgspec

from core.netstore import protocol
from core.netstore.call import Answer, Call
from core.netstore.reads import LIMIT_DEFAULT
from core.netstore.writes import check_not_draining


class _Prune(msgspec.Struct):
    ids: list[str]


class _Erase(msgspec.Struct):
    ids: list[str] = []
    record: tuple[str, str] | None = None
    drop_hash: bool = False


class _Receipts(msgspec.Struct):
    limit: int = LIMIT_DEFAULT
    before: int | None = None


def compact(call: Call) -> Answer:
    """Let go what the store's policies let go; the receipts."""
    return protocol.success({"receipts": _removed(call, "compact")})


def prune(call: Call) -> Answer:
    """Remove the facts of these ids; the receipt."""
    asked = protocol.params(call.request, _Prune)
    return protocol.success({"receipt": _removed(call, "prune", asked.ids)})


def erase(call: Call) -> Answer:
    """Erase what facts said, in every copy in reach; that they were stays. The receipt."""
    asked = protocol.params(call.request, _Erase)
    receipt = _removed(call, "erase", ids=asked.ids, record=asked.record, drop_hash=asked.drop_hash)
    return protocol.success({"receipt": receipt})


def receipts(call: Call) -> Answer:
    """What left the store, the latest first."""
    asked = protocol.params(call.request, _Receipts)
    return protocol.success({"receipts": call.ask("receipts", asked.limit, before=asked.before)})


def backup(call: Call) -> Answer:
    """A verified copy of the store, kept beside it; what it holds."""
    return protocol.success({"backup": call.ask("backup")})


def verify(call: Call) -> Answer:
    """Every fact, checked against its digest."""
    return protocol.success({"verify": call.ask("verify")})


def _removed(call: Call, method: str, *arguments: Any, **named: Any) -> Any:
    check_not_draining(call)
    done = call.ask(method, *arguments, actor=call.caller.actor, **named)
    call.desk.forget(call.store)
    return done

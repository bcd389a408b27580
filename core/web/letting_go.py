"""What a service's store lets go, asked of whoever writes it: the core itself, or the child, woken where it sleeps."""

from __future__ import annotations

from typing import Any

import msgspec

from core.model.errors import AnswerInvalid, NotFound
from core.records import Erasing, Policies
from core.records import erase as erase_here
from core.records import set_policies as set_policies_here
from core.web.caller import OWNER
from core.web.child_answers import ask_child
from core.web.parts import Parts

CALL_S = 120.0


def erase(parts: Parts, service_id: str, what: Erasing) -> dict[str, Any]:
    """Erase what these facts, or all facts of a record, said, in every copy in reach and dead letters; the receipt."""
    record = what.record  # Judged before anything is woken.
    store = parts.kept_store(service_id)
    if store is not None:
        receipt = erase_here(store, what, actor=OWNER.actor)
    else:
        receipt = _call(parts, service_id, "POST", "/retention/erase", what)
    # What the store forgot is not to be told by an event that nobody could take.
    parts.events.forget_erased(service_id, record=record, ids=what.ids)
    return receipt


def set_policies(parts: Parts, service_id: str, wanted: Policies) -> None:
    """Keep exactly these retention policies."""
    for policy in wanted.policies.values():
        policy.check()
    store = parts.kept_store(service_id)
    if store is not None:
        set_policies_here(store, wanted, actor=OWNER.actor)
    else:
        _call(parts, service_id, "PUT", "/retention", wanted)


def _call(parts: Parts, service_id: str, method: str, path: str, body: msgspec.Struct) -> dict[str, Any]:
    """What the child answers; its refusal is raised."""
    with parts.reader(service_id) as reader:
        if not reader.epoch():
            raise NotFound(
                f"{service_id} has no store of Locker's", remedy="What it keeps by itself, only it can erase."
            )
    answer = ask_child(parts, service_id, method=method, path=path, body=msgspec.json.encode(body), timeout_s=CALL_S)
    try:
        return msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.MsgspecError as err:
        raise AnswerInvalid(f"{service_id} does not tell what it did") from err

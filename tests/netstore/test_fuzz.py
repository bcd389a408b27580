"""No bytes make the reading of the wire fail: only answers come of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.model.clock import SystemClock
from core.model.fact import Change
from core.model.frames import frame_at
from core.netstore import Door, ServerLimits, one_store
from core.netstore.server.call import Caller, LongReply
from core.netstore.server.clerk import Clerks
from core.netstore.server.counts import Counts
from core.netstore.server.desk import Desk
from core.netstore.server.ops import OPS
from core.netstore.server.session import Session
from core.store import Store
from tests.netstore.conftest import ORIGIN, TYPES
from tests.netstore.fuzz_wire import read_everything

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["fact", "facts", "store", "stores", "key", "value", "since", "until", "limit", "cursor", "as_of", "where", "order",
     "token", "service", "request_id", "atomic", "ids", "q", "fact_id", "changes", "run", "stream", "history", "event",
     "if_seq", "heartbeat_s", "full", "after", "record", "seq", "idempotency_key", "features", "client"]
)  # fmt: skip
FACTS = st.fixed_dictionaries(
    {"id": st.text(max_size=4) | VALUES, "store": st.text(max_size=4) | VALUES, "key": VALUES, "value": VALUES},
    optional=dict.fromkeys(("value_hash", "causation", "rev", "origin", "term", "action", "common"), VALUES),
)
REQUESTS = st.builds(
    lambda op, members, fact: {**members, **fact, "op": op},
    st.sampled_from(sorted(OPS)),
    st.dictionaries(NAMES, VALUES | FACTS | st.lists(FACTS, max_size=2), max_size=5),
    st.just({}) | st.builds(lambda fact: {"fact": fact, "facts": [fact]}, FACTS),
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=3000))
def test_any_bytes_are_answered(data: bytes) -> None:
    """Noise is refused, never failed at."""
    read_everything(data)


EDGES = [-(2**63) - 1, -1, 2**63 - 1, 2**63, 10**30, 1e308]
# Each op with everything that it asks for, so that a number too large is what is wrong with it.
WHOLE: dict[str, dict[str, Any]] = {
    "write_fact": {"fact": {"id": "f", "store": "note", "key": "k", "value": {}}},
    "write": {"store": "note", "key": "k", "value": {}},
    "append": {"history": "note", "event": {}},
    "read": {"store": "note", "key": "a"},
    "history": {"store": "note", "key": "a"},
    "query": {"store": "note"},
    "records": {"store": "note"},
    "count": {"store": "note"},
    "search": {"q": "milk"},
    "set_policy": {"store": "note", "policy": {"kind": "rolling_window", "duration_s": 1}},
    "samples": {"point": "p"},
    "rollups": {"point": "p"},
    "last_sample": {"point": "p"},
    "delete_samples": {"point": "p"},
    "write_samples": {"samples": []},
    "commit": {"changes": []},
}
NUMBERS = (
    "seq", "since", "until", "after", "before", "limit", "cursor", "as_of", "position", "grace_s", "if_seq", "at",
    "schema_version", "valid_time", "valid_from", "valid_to", "heartbeat_s", "start", "end", "proto",
)  # fmt: skip

MOMENTS = ("as_of", "start", "end")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Session]]:
    """Makes conversations of the owner with one real store, that has all that a store has."""
    folder = tmp_path_factory.mktemp("fuzz")
    folder.chmod(0o700)
    with Store.open(folder, types=TYPES, origin=ORIGIN, clock=SystemClock()) as store:
        store.commit([Change(type="note", key="a", value={"title": "Milk", "body": "Buy milk"})])
        door = Door(store_of=one_store(store))

        def made() -> Session:
            desk = Desk(limits=ServerLimits(), clock=SystemClock())
            caller = Caller(door, transport="unix", address="fuzz")
            return Session(caller, desk=desk, clerks=Clerks(), counts=Counts())

        yield made


def reply_of(frame: bytes | LongReply) -> dict[str, Any]:
    """What a frame says; a whole one."""
    assert isinstance(frame, bytes)
    body = frame_at(frame, 0)
    assert isinstance(body, bytes)
    reply: dict[str, Any] = json.loads(body)
    return reply


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests=st.lists(REQUESTS, min_size=1, max_size=3))
def test_any_request_is_answered(session: Callable[[], Session], requests: list[dict[str, Any]]) -> None:
    """Every op with members of any kind: each gets its own reply, in order, and none is a fault of ours."""
    bodies: Sequence[bytes] = [json.dumps(request).encode() for request in requests]
    one, replies = session(), []
    while bodies:
        answered = one.answer(bodies)
        replies += [reply_of(frame) for frame in answered.frames]
        bodies = answered.unread
        if answered.is_over or answered.follow is not None:
            break

    assert len(requests) == len(replies) + len(bodies)
    for request, reply in zip(requests, replies, strict=False):
        assert isinstance(reply["ok"], bool)
        assert "internal_error" != reply.get("error_code"), (request, reply)
        if reply["ok"] and request.get("request_id"):
            assert "request_id" == list(reply)[-1]


@pytest.mark.parametrize("op", sorted(OPS))
def test_no_number_is_a_fault_of_ours(session: Callable[[], Session], op: str) -> None:
    """Past what the database, the clock or the wire can hold: refused in words, or taken; wherever it stands."""
    wrong = []
    for name in NUMBERS:
        moments = [{of: edge} for of in ("seq", "time") for edge in EDGES] if name in MOMENTS else []
        for number in (*EDGES, *moments):
            request = {**WHOLE.get(op, {}), "op": op, name: number}
            (frame,) = session().answer([json.dumps(request).encode()]).frames
            reply = reply_of(frame)
            if reply.get("error_code") == "internal_error" or "Overflow" in str(reply):
                wrong.append((request, reply))

    assert [] == wrong

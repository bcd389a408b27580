"""No bytes make the reading of the wire fail: only answers come of them."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from core.model.frames import encode_frame
from core.netstore.server.ops import OPS
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


@settings(max_examples=600, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=3))
def test_any_request_is_answered(requests: list[dict[str, object]]) -> None:
    """Every op with members of any kind: each gets its own reply, and none is a fault of ours."""
    frames = b"".join(encode_frame(json.dumps(request).encode()) for request in requests)

    assert read_everything(frames) >= 1

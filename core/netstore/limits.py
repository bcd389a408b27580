"""Every bound of the wire, named once."""

from __future__ import annotations

from typing import Annotated

import msgspec

from core.model.frames import FRAME_BYTES_MAX

REPLY_BYTES_MAX = 256 * 1024 * 1024
PIPELINED_MAX = 64
REPLAY_FACTS_MAX = 10_000
WRITE_FACTS_MAX = 1000
STORES_MAX = 1000
# As a store of one's own has them: records in quarantine tried at once, and how long a file may stand unnamed.
RETRY_MAX = 500
GRACE_S = 86_400.0
HEARTBEAT_S_MIN, HEARTBEAT_S_MAX = 1.0, 300.0
SEQ_MAX = 2**63 - 1
# A tenth of what Python gives a thread before another one's turn: a single write that comes beside a bulk load would
# wait for that at each of its steps.
THREAD_TURN_S = 0.0005

Seq = Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)]


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one server gives to all who come, `connections_max` at each door, and how long it waits for them."""

    frame_bytes_max: int = FRAME_BYTES_MAX
    # Of one whose token is not known yet: enough for whatever may be asked without.
    unknown_frame_bytes_max: int = 64 * 1024
    # Requests that come together and are larger are in work at once up to so many bytes in all.
    light_bytes_max: int = 64 * 1024
    heavy_bytes_max: int = FRAME_BYTES_MAX
    reply_bytes_max: int = REPLY_BYTES_MAX
    connections_max: int = 64
    pipelined_max: int = PIPELINED_MAX
    frame_timeout_s: float = 30.0
    reply_timeout_s: float = 30.0
    auth_timeout_s: float = 10.0
    auth_failures_max: int = 5
    # How long somebody rests, unknown or known, before their place is given to who waits for one.
    stranger_rest_s: float = 1.0
    rest_s: float = 60.0
    # What one whose token is gone has begun may take so long still.
    revoked_s: float = 1.0
    drain_s: float = 5.0
    linger_s: float = 1.0
    slow_op_s: float = 1.0
    live_events_max: int = 1000
    live_bytes_max: int = 8 * 1024 * 1024
    push_bytes: int = 256 * 1024

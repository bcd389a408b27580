"""How much the gateway takes and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES_MAX = 64 * 1024
HEAD_FIELDS_MAX = 200
MESSAGE_BYTES_MAX = 8 * 1024 * 1024
WAIT_S_MAX = 600.0
WAIT_MARGIN_S = 10.0
CONNECT_S = 5.0


@dataclass(frozen=True)
class GatewayLimits:
    """The limits an owner may set; the rest are constants of this room."""

    first_byte_s: float = 30.0
    silence_s: float = 60.0
    body_bytes_max: int = 64 * 1024 * 1024
    body_memory_bytes: int = 1024 * 1024
    spool_bytes_total_max: int = 1024 * 1024 * 1024
    waiting_requests_max: int = 100

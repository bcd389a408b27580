"""What the owner decided, as frozen values: the settings, and how long and how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KIB, MIB, GIB = 1024, 1024**2, 1024**3


def _limit(default: float, *, least: float, most: float) -> Any:
    return field(default=default, metadata={"least": least, "most": most})


@dataclass(frozen=True)
class Limits:
    """How long and how much; each with the least and the most that an owner may set it to."""

    first_byte_s: float = _limit(30.0, least=0.05, most=600)
    silence_s: float = _limit(60.0, least=0.05, most=3600)
    body_bytes_max: int = _limit(64 * MIB, least=KIB, most=64 * GIB)
    body_memory_bytes: int = _limit(MIB, least=KIB, most=GIB)
    spool_bytes_total_max: int = _limit(GIB, least=KIB, most=1024 * GIB)
    waiting_requests_max: int = _limit(100, least=1, most=10_000)
    stop_grace_s: float = _limit(5.0, least=0.05, most=120)
    start_deadline_s: float = _limit(15.0, least=0.1, most=600)
    idle_stop_s: float = _limit(600.0, least=0.1, most=7 * 86_400)
    backoff_first_s: float = _limit(1.0, least=0.01, most=3600)
    backoff_max_s: float = _limit(300.0, least=0.01, most=86_400)
    disk_free_bytes_min: int = _limit(GIB, least=0, most=1024 * GIB)
    event_batch_max: int = _limit(500, least=1, most=5000)
    event_batch_wait_s: float = _limit(1.0, least=0.01, most=60)


@dataclass(frozen=True)
class Config:
    """Every decision of the owner, checked; nothing here changes while the core runs."""

    me: Path
    config_dir: Path
    connector_paths: tuple[Path, ...]
    timezone: str
    port: int = 8042
    host: str = "127.0.0.1"
    host_names: tuple[str, ...] = ()
    spawn: str = "auto"
    open_browser: bool = True
    log_level: str = "info"
    store_port: int = 0
    store_needs_token: bool = True
    limits: Limits = Limits()
    app_keys: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

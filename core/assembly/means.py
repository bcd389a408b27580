"""What the rooms are opened with: their limits as the owner set them, the warm parent, and the folder of the data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from core.config import Config
from core.events import DeliveryLimits
from core.gateway import GatewayLimits
from core.model.errors import FolderUnusable
from core.process import ProcessLimits, Zygote

# What every Python child would import first; cryptography is imported by the first secret that is unsealed.
PRELOAD = ("connectors.sdk.connector", "cryptography.hazmat.primitives.ciphers.aead")
_ELSEWHERE = "choose another folder with --me DIR."


def home() -> Path | None:
    """The owner's home folder; None where the system knows of none."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def gateway_limits(config: Config) -> GatewayLimits:
    """The gateway's bounds."""
    own = config.limits
    return GatewayLimits(
        first_byte_s=own.first_byte_s,
        silence_s=own.silence_s,
        body_bytes_max=own.body_bytes_max,
        body_memory_bytes=own.body_memory_bytes,
        spool_bytes_total_max=own.spool_bytes_total_max,
        waiting_requests_max=own.waiting_requests_max,
    )


def delivery_limits(config: Config) -> DeliveryLimits:
    """How events are put together for a listener."""
    own = config.limits
    return DeliveryLimits(batch_events_max=own.event_batch_max, batch_wait_s=own.event_batch_wait_s)


def process_limits(config: Config) -> ProcessLimits:
    """How children are stopped and started again."""
    own = config.limits
    return ProcessLimits(
        stop_grace_s=own.stop_grace_s, backoff_first_s=own.backoff_first_s, backoff_max_s=own.backoff_max_s
    )


def warm_parent(config: Config, environment: Mapping[str, str]) -> Zygote | None:
    """The warm parent, not yet started; None where children are spawned plainly."""
    if config.spawn != "auto" or not Zygote.is_possible():
        return None
    return Zygote(preload=PRELOAD, python=sys.executable, environment=environment)


def prepare_me(me: Path) -> None:
    """Make the folder of the owner's data, for the owner alone; raises FolderUnusable where it cannot be had."""
    for folder in (me, me / "run", me / "logs", me / "owner"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder == me:
                me.chmod(0o700)
        except FileExistsError as err:
            raise FolderUnusable(f"{folder} is no folder", remedy=f"Move it away, or {_ELSEWHERE}") from err
        except OSError as err:
            raise FolderUnusable(
                f"{folder} cannot be used: {err.strerror}", remedy=f"Make it yours, or {_ELSEWHERE}"
            ) from err

"""What the room is given to start a child, and what it tells of a running one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from core.model.handshake import Greeting
from core.process.lifecycle import CALM_S, CRASHES_FREE, Backoff


@dataclass(frozen=True)
class LaunchSpec:
    """Everything needed to start one service's child.

    `argv` is the manifest's `run`; `python` the interpreter that stands in for the word `python` in it. A `forkable`
    child is a Python script that needs nothing beyond the core's own packages. `reads` are further folders that the
    sandbox opens for reading. `secrets` are values besides token and key that may never reach a log.
    """

    service_id: str
    uid: str
    title: str
    argv: tuple[str, ...]
    source_directory: Path
    working_directory: Path
    python: str
    forkable: bool
    start_timeout_s: float
    idle_stop_s: float
    resident: bool
    memory_bytes: int
    reads: tuple[Path, ...]
    greeting: Callable[[int, str], Greeting] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Endpoint:
    """Where a running child answers; `generation` counts the starts of its service. `started_at` is wall time."""

    service_id: str
    port: int
    token: str = field(repr=False)
    pid: int
    started_at: float
    generation: int


@dataclass(frozen=True)
class ProcessDetails:
    """One service's process as the owner sees it; the figures cover everything the child started."""

    pid: int | None
    memory_bytes: int
    cpu_s: float
    started_at: float | None
    holds: tuple[str, ...]
    leases: int
    sandbox: str
    last_exit: str | None


@dataclass(frozen=True)
class ProcessLimits:
    """The room's bounds; each is named once, here."""

    stop_grace_s: float = 5.0
    close_s: float = 5.0
    backoff_first_s: float = 1.0
    backoff_max_s: float = 300.0
    crashes_free: int = CRASHES_FREE
    calm_s: float = CALM_S
    starts_at_once: int = 4
    start_slot_s: float = 2.0
    port_grace_s: float = 1.0
    noise_lines_max: int = 500
    noise_bytes_max: int = 256 * 1024
    open_files_max: int = 4096
    hold_s_max: float = 86400.0
    holds_max: int = 64
    watch_s: float = 2.0
    memory_watch_s: float = 6.0

    @property
    def backoff(self) -> Backoff:
        """The part that the lifecycle needs."""
        return Backoff(
            first_s=self.backoff_first_s, max_s=self.backoff_max_s, free=self.crashes_free, calm_s=self.calm_s
        )

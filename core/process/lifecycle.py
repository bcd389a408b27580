"""A child's life as values: five states, eight moves, one table of what may follow what.

    stopped  --Start-->    starting  --Announce-->  running
    starting, running  --Stop-->   stopping  --End-->  stopped
    starting, running  --Crash-->  failed    --Start-->  starting   (not before `until`)
    running  --End-->      stopped           (the child ended by itself, in order)
    starting, stopped, failed  --Refuse-->  failed   (it cannot be started as things are; never cools down)
    failed   --Clear-->    stopped           (the owner pressed Restart)

Times are seconds of a monotonic clock, so that setting the machine's clock neither ends a wait nor stretches it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from core.model.errors import IllegalMove

CRASHES_FREE = 3
CALM_S = 60.0
DOUBLINGS_MAX = 30


@dataclass(frozen=True, slots=True)
class Stopped:
    """No process; the next request starts one. `reason` says how the last one ended."""

    since: float = 0.0
    reason: str = "not started yet"
    name = "stopped"


@dataclass(frozen=True, slots=True)
class Starting:
    """A process is being started; it has not announced its port."""

    since: float
    crashes: int = 0
    name = "starting"


@dataclass(frozen=True, slots=True)
class Running:
    """The child listens on `port`."""

    since: float
    port: int
    pid: int
    crashes: int = 0
    name = "running"


@dataclass(frozen=True, slots=True)
class Stopping:
    """The child was told to end and is not gone yet."""

    since: float
    reason: str
    name = "stopping"


@dataclass(frozen=True, slots=True)
class Failed:
    """The last child failed: `code` is an error's code, `until` the moment before which no other is started."""

    since: float
    code: str
    detail: str
    until: float | None = None
    crashes: int = 0
    name = "failed"


State: TypeAlias = Stopped | Starting | Running | Stopping | Failed


@dataclass(frozen=True, slots=True)
class Start:
    """Somebody asked for the service; a failure `calm_s` ago or more is forgotten."""

    calm_s: float = CALM_S


@dataclass(frozen=True, slots=True)
class Announce:
    """The child announced a port that it owns."""

    port: int
    pid: int


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a child that keeps crashing waits: the first `free` crashes in a row cost nothing."""

    first_s: float = 1.0
    max_s: float = 300.0
    free: int = CRASHES_FREE
    calm_s: float = CALM_S


@dataclass(frozen=True, slots=True)
class Crash:
    """The child failed by itself; `random_unit` from [0, 1) spreads the wait."""

    code: str
    detail: str
    random_unit: float
    backoff: Backoff = Backoff()


@dataclass(frozen=True, slots=True)
class Refuse:
    """No child can be started as things are: its command is missing, its key does not fit."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The core tells the child to end."""

    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """The process and all it started are gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Clear:
    """The owner wants no more waiting after crashes."""


Move: TypeAlias = Start | Announce | Crash | Refuse | Stop | End | Clear


def after(state: State, move: Move, now: float) -> State:
    """The state that follows; raises IllegalMove when the table knows none."""
    step = TABLE.get((type(state), type(move)))
    if step is None:
        raise IllegalMove(f"a child that is {state.name} cannot {type(move).__name__.lower()}")
    return step(state, move, now)


def cooling_s(state: State, now: float) -> float:
    """Seconds until a new start is allowed; 0 when it is."""
    if isinstance(state, Failed) and state.until is not None:
        return max(0.0, state.until - now)
    return 0.0


def backoff_s(crashes: int, random_unit: float, *, first_s: float, max_s: float) -> float:
    """The wait after `crashes` crashes in a row: doubling from `first_s` up to `max_s`, with full jitter."""
    if crashes < 1:
        return 0.0
    ceiling = min(max_s, first_s * 2.0 ** min(crashes - 1, DOUBLINGS_MAX))
    return ceiling * random_unit


def _start(_state: State, _move: Start, now: float) -> State:
    return Starting(since=now)


def _start_again(state: Failed, move: Start, now: float) -> State:
    if cooling_s(state, now) > 0:
        raise IllegalMove(f"a child that failed may not start for another {cooling_s(state, now):.1f} s")
    ready_at = state.since if state.until is None else state.until
    is_calm = now - ready_at >= move.calm_s
    return Starting(since=now, crashes=0 if is_calm else state.crashes)


def _announce(state: Starting, move: Announce, now: float) -> State:
    return Running(since=now, port=move.port, pid=move.pid, crashes=state.crashes)


def _crash(state: Starting | Running, move: Crash, now: float) -> State:
    backoff = move.backoff
    ran_calmly = isinstance(state, Running) and now - state.since >= backoff.calm_s
    crashes = 1 if ran_calmly else state.crashes + 1
    wait_s = backoff_s(crashes - backoff.free, move.random_unit, first_s=backoff.first_s, max_s=backoff.max_s)
    until = now + wait_s if crashes > backoff.free else None
    return Failed(since=now, code=move.code, detail=move.detail, until=until, crashes=crashes)


def _refuse(_state: State, move: Refuse, now: float) -> State:
    return Failed(since=now, code=move.code, detail=move.detail)


def _stop(_state: State, move: Stop, now: float) -> State:
    return Stopping(since=now, reason=move.reason)


def _end(_state: State, move: End, now: float) -> State:
    return Stopped(since=now, reason=move.reason)


def _clear(_state: State, _move: Clear, now: float) -> State:
    return Stopped(since=now, reason="cleared by the owner")


Step: TypeAlias = Callable[..., State]

TABLE: Mapping[tuple[type, type], Step] = MappingProxyType(
    {
        (Stopped, Start): _start,
        (Stopped, Refuse): _refuse,
        (Starting, Announce): _announce,
        (Starting, Crash): _crash,
        (Starting, Refuse): _refuse,
        (Starting, Stop): _stop,
        (Running, Stop): _stop,
        (Running, Crash): _crash,
        (Running, End): _end,
        (Stopping, End): _end,
        (Failed, Start): _start_again,
        (Failed, Refuse): _refuse,
        (Failed, Clear): _clear,
    }
)

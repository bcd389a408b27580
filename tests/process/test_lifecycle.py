"""The table of a child's life."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model.errors import IllegalMove
from core.process import lifecycle
from core.process.lifecycle import (
    TABLE,
    Announce,
    Backoff,
    Clear,
    Crash,
    End,
    Failed,
    Refuse,
    Running,
    Start,
    Starting,
    State,
    Stop,
    Stopped,
    Stopping,
    after,
    backoff_s,
    cooling_s,
)

STATES: tuple[State, ...] = (
    Stopped(),
    Starting(since=1.0),
    Running(since=1.0, port=1, pid=1),
    Stopping(since=1.0, reason="r"),
    Failed(since=1.0, code="child_died", detail="d"),
)
MOVES: tuple[lifecycle.Move, ...] = (
    Start(),
    Announce(port=28213, pid=4711),
    Crash("child_died", "it died", random_unit=0.5),
    Refuse("run_missing", "no such program"),
    Stop("idle"),
    End("idle"),
    Clear(),
)
LEGAL = {
    ("stopped", "Start"): "starting",
    ("stopped", "Refuse"): "failed",
    ("starting", "Announce"): "running",
    ("starting", "Crash"): "failed",
    ("starting", "Refuse"): "failed",
    ("starting", "Stop"): "stopping",
    ("running", "Stop"): "stopping",
    ("running", "Crash"): "failed",
    ("running", "End"): "stopped",
    ("stopping", "End"): "stopped",
    ("failed", "Start"): "starting",
    ("failed", "Refuse"): "failed",
    ("failed", "Clear"): "stopped",
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
@pytest.mark.parametrize("move", MOVES, ids=lambda move: type(move).__name__)
def test_every_pair_is_decided(state: State, move: lifecycle.Move) -> None:
    """Each move from each state leads where the table says, or is refused by name."""
    expected = LEGAL.get((state.name, type(move).__name__))

    if expected is None:
        with pytest.raises(IllegalMove, match=f"{state.name} cannot {type(move).__name__.lower()}"):
            after(state, move, 5.0)
    else:
        assert expected == after(state, move, 5.0).name
        assert 5.0 == after(state, move, 5.0).since


moves = st.one_of(
    st.builds(Start, calm_s=st.floats(1, 100)),
    st.builds(Announce, port=st.integers(1, 65535), pid=st.integers(1, 99999)),
    st.builds(
        Crash,
        code=st.just("child_died"),
        detail=st.text(max_size=5),
        random_unit=st.floats(0, 1, exclude_max=True),
        backoff=st.builds(Backoff, first_s=st.floats(0.1, 5), max_s=st.floats(5, 400), free=st.integers(0, 5)),
    ),
    st.builds(Refuse, code=st.just("run_missing"), detail=st.text(max_size=5)),
    st.builds(Stop, reason=st.text(max_size=5)),
    st.builds(End, reason=st.text(max_size=5)),
    st.builds(Clear),
)


@settings(deadline=None)
@given(st.lists(st.tuples(moves, st.floats(0, 500)), max_size=40))
def test_random_lives_are_legal_or_refused(life: list[tuple[lifecycle.Move, float]]) -> None:
    """Whatever comes in whatever order: a legal move gives one of the five states, any other raises."""
    state: State = Stopped()
    now = 0.0
    for move, passes_s in life:
        now += passes_s
        is_known = (type(state), type(move)) in TABLE
        must_wait = isinstance(move, Start) and cooling_s(state, now) > 0
        try:
            state = after(state, move, now)
        except IllegalMove:
            assert not is_known or must_wait
            continue

        assert is_known and not must_wait
        assert now == state.since
        if isinstance(state, Failed) and state.until is not None:
            assert now <= state.until <= now + 400


@settings(deadline=None)
@given(st.integers(-3, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_stays_within_its_bounds(crashes: int, random_unit: float) -> None:
    """INV-10: the wait is never negative, never past its maximum, and none before the first counted crash."""
    wait_s = backoff_s(crashes, random_unit, first_s=1.0, max_s=300.0)

    assert 0.0 <= wait_s <= 300.0
    assert crashes >= 1 or 0.0 == wait_s


def test_backoff_doubles_up_to_its_maximum() -> None:
    """1, 2, 4 … seconds at most, 300 in the end; jitter takes any share of it."""
    waits = [backoff_s(n, 1.0, first_s=1.0, max_s=300.0) for n in (1, 2, 3, 9, 10, 11)]

    assert [1.0, 2.0, 4.0, 256.0, 300.0, 300.0] == waits
    assert 0.0 == backoff_s(5, 0.0, first_s=1.0, max_s=300.0)


def test_only_repeated_crashes_cool_down() -> None:
    """Three crashes in a row may be followed by a start at once; the fourth waits, and the wait ends by itself."""
    state: State = Stopped()
    for number in range(1, 5):
        state = after(after(state, Start(), float(number)), Crash("child_died", "d", random_unit=0.9), number + 0.5)
        waits = isinstance(state, Failed) and state.until is not None

        assert (number > 3) == waits

    assert 0.9 == pytest.approx(cooling_s(state, 4.5))
    with pytest.raises(IllegalMove, match=r"another 0\.8 s"):
        after(state, Start(), 4.6)
    assert Starting(since=5.5, crashes=4) == after(state, Start(), 5.5)


def test_a_calm_run_forgets_earlier_crashes() -> None:
    """A child that ran a minute before it crashed begins a new count; so does one that rested a minute."""
    ran = after(Running(since=0.0, port=1, pid=1, crashes=9), Crash("child_died", "d", random_unit=0.5), 60.0)
    hasty = after(Running(since=0.0, port=1, pid=1, crashes=9), Crash("child_died", "d", random_unit=0.0), 59.9)
    rested = after(Failed(since=0.0, code="c", detail="d", until=10.0, crashes=9), Start(), 70.0)

    assert (1, 10) == (getattr(ran, "crashes", None), getattr(hasty, "crashes", None))
    assert Starting(since=70.0, crashes=0) == rested


def test_states_and_moves_are_values() -> None:
    """Nobody can alter a state that somebody else holds."""
    for value in (*STATES, *MOVES):
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            value.since = 7.0  # type: ignore[misc, union-attr]

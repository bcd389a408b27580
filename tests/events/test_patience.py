"""How often a listener is asked again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import patience
from core.events.patience import SPLIT_TRIES_MAX, TRIES_MAX, Answer, Attempt, Move, Verdict
from core.model.errors import AnswerInvalid, ChildCut, ChildDied, ChildMute, CoolingDown, Offline, ServiceDisabled

SIZE_MAX = 500


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.APPLIED),
        (201, Verdict.FAILED),
        (202, Verdict.FAILED),
        (204, Verdict.FAILED),
        (302, Verdict.FAILED),
        (400, Verdict.REFUSED),
        (401, Verdict.UNREACHED),
        (404, Verdict.FAILED),
        (413, Verdict.REFUSED),
        (422, Verdict.REFUSED),
        (429, Verdict.UNREACHED),
        (500, Verdict.FAILED),
        (503, Verdict.UNREACHED),
    ],
)
def test_statuses(status: int, verdict: Verdict) -> None:
    """Only 200 takes; 400, 413 and 422 refuse; what says later or sign in says nothing of the events."""
    assert verdict is patience.judge_status(status).verdict


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ChildDied(), Verdict.FAILED),
        (ChildMute(), Verdict.FAILED),
        (ChildCut(), Verdict.FAILED),
        (AnswerInvalid(), Verdict.FAILED),
        (CoolingDown(), Verdict.UNREACHED),
        (ServiceDisabled(), Verdict.UNREACHED),
        (Offline(), Verdict.UNREACHED),
        (ValueError("secret"), Verdict.UNREACHED),
    ],
)
def test_errors(error: Exception, verdict: Verdict) -> None:
    """A child that breaks over a batch counts against it; whatever else is in the way does not."""
    answer = patience.judge_error(error)

    assert verdict is answer.verdict
    assert "secret" not in answer.problem


def test_a_listener_that_is_not_reached_is_waited_for_without_end() -> None:
    """A thousand vain calls set nothing aside, and the waits grow to their bound."""
    attempt = Attempt(size=SIZE_MAX)
    waits = []
    for _ in range(1000):
        move, attempt = patience.after(attempt, Answer(Verdict.UNREACHED), events=1, size_max=SIZE_MAX)
        waits.append(patience.backoff_s(attempt, random_unit=1.0, first_s=1.0, max_s=300.0))
        assert move is Move.AGAIN

    assert [1.0, 2.0, 4.0, 8.0] == waits[:4]
    assert 300.0 == waits[-1]


def test_full_jitter() -> None:
    """The wait is anywhere between nothing and its ceiling; nothing failed, nothing waits."""
    assert 0.0 == patience.backoff_s(Attempt(size=1, tries=5), random_unit=0.0, first_s=1.0, max_s=300.0)
    assert 0.0 == patience.backoff_s(Attempt(size=1), random_unit=1.0, first_s=1.0, max_s=300.0)


def test_one_failing_event_has_all_its_tries() -> None:
    """An event that comes alone is set aside after the last try, not before."""
    attempt = Attempt(size=SIZE_MAX)
    moves = []
    for _ in range(TRIES_MAX):
        move, attempt = patience.after(attempt, Answer(Verdict.FAILED), events=1, size_max=SIZE_MAX)
        moves.append(move)

    assert [Move.AGAIN] * (TRIES_MAX - 1) + [Move.BURY] == moves


@given(st.integers(2, SIZE_MAX), st.data(), st.sampled_from([Verdict.FAILED, Verdict.REFUSED]))
def test_the_poisoned_event_is_found(count: int, data: st.DataObject, verdict: Verdict) -> None:
    """Wherever it stands, only it is set aside, everything else is taken once, in a bounded number of calls."""
    poison = data.draw(st.integers(0, count - 1))
    queue, taken, buried, calls = list(range(count)), [], [], 0
    attempt = Attempt(size=SIZE_MAX)
    while queue:
        batch = queue[: attempt.size]
        calls += 1
        answer = Answer(verdict if poison in batch else Verdict.APPLIED)
        move, attempt = patience.after(attempt, answer, events=len(batch), size_max=SIZE_MAX)
        if move is Move.GO_ON:
            taken += batch
        elif move is Move.BURY:
            buried += batch
        if move is not Move.AGAIN:
            queue = queue[len(batch) :]

    assert [poison] == buried
    assert [n for n in range(count) if n != poison] == taken
    assert calls <= TRIES_MAX + 2 * SPLIT_TRIES_MAX * 10 + 20


def test_a_listener_that_refuses_everything_buries_one_by_one_slowly() -> None:
    """After one was set aside for failing, the next has all its tries again: a broken listener is not drained."""
    attempt = Attempt(size=SIZE_MAX)
    calls, buried = 0, 0
    while buried < 3:
        calls += 1
        move, attempt = patience.after(
            attempt, Answer(Verdict.FAILED), events=min(attempt.size, 400), size_max=SIZE_MAX
        )
        buried += move is Move.BURY

    assert calls > 3 * TRIES_MAX


def test_batches_grow_again() -> None:
    """After success the size doubles up to its bound."""
    attempt = Attempt(size=1)
    sizes = []
    for _ in range(11):
        _, attempt = patience.after(attempt, Answer(Verdict.APPLIED), events=attempt.size, size_max=SIZE_MAX)
        sizes.append(attempt.size)

    assert [2, 4, 8, 16, 32, 64, 128, 256, 500, 500, 500] == sizes

"""What follows from how a run ended: decided without a clock, a network or a store."""

from __future__ import annotations

import pytest

from connectors.sdk.outcome import (
    HELD_RETRY_S,
    RETRY_AFTER_MAX_S,
    RETRY_MAX_S,
    STORAGE_RETRY_S,
    Ended,
    Outcome,
    failures_before,
    outcome_of,
    retry_after_s,
)
from core.model.errors import (
    AuthRequired,
    Broken,
    LockerError,
    Offline,
    RateLimited,
    Reauthorise,
    StorageFull,
    UserActionNeeded,
)


def _outcome(ended: Ended, *, failures: int = 0, random_unit: float = 0.5) -> Outcome:
    return outcome_of(ended, now=1000.0, every_s=600.0, failures=failures, random_unit=random_unit)


def test_a_good_run_is_due_by_its_frequency() -> None:
    """With a little jitter either way, so that services do not march in step."""
    times = [_outcome(Ended(stored=1, quarantined=0), random_unit=unit).next_at for unit in (0.0, 0.5, 1.0)]

    assert [1570.0, 1600.0, 1630.0] == times


def test_there_may_be_more_at_once() -> None:
    """A bounded run says that it is not done."""
    assert 1005.0 == _outcome(Ended(stored=1, quarantined=0, again_s=5.0)).next_at


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        (Ended(stored=3, quarantined=0), "ok"),
        (Ended(stored=0, quarantined=0), "ok"),
        (Ended(stored=3, quarantined=1), "partial"),
        (Ended(stored=3, quarantined=0, partial=Offline("one of two")), "partial"),
        (Ended(stored=3, quarantined=0, partial=Offline("all of two"), is_nothing_read=True), "failed"),
        (Ended(stored=3, quarantined=0, error=Offline("away"), is_nothing_read=True), "failed"),
        (Ended(stored=3, quarantined=0, stopped=True), "partial"),
        (Ended(stored=3, quarantined=0, error=Offline("away")), "partial"),
        (Ended(stored=0, quarantined=0, error=Offline("away")), "failed"),
        (Ended(stored=3, quarantined=0, error=Broken("bug")), "failed"),
        (Ended(stored=3, quarantined=0, error=Reauthorise("again")), "held"),
        (Ended(stored=3, quarantined=0, error=AuthRequired("again")), "held"),
        (Ended(stored=3, quarantined=0, error=UserActionNeeded("terms")), "held"),
        (Ended(stored=3, quarantined=0, error=StorageFull("disk")), "held"),
    ],
)
def test_the_status_follows_from_the_error(ended: Ended, status: str) -> None:
    """Held waits for somebody or something; failed and partial try again by themselves."""
    assert status == _outcome(ended).status


@pytest.mark.parametrize(
    ("error", "wait_s", "lapsed"),
    [
        (Reauthorise("again"), HELD_RETRY_S, True),
        (UserActionNeeded("terms"), HELD_RETRY_S, False),
        (StorageFull("disk"), STORAGE_RETRY_S, False),
    ],
)
def test_held_runs_wait(error: LockerError, wait_s: float, lapsed: bool) -> None:
    """Accounts are not locked by asking again and again."""
    outcome = _outcome(Ended(stored=0, quarantined=0, error=error))

    assert (1000.0 + wait_s, lapsed) == (outcome.next_at, outcome.sign_in_lapsed)


def test_backoff_doubles_up_to_its_ceiling() -> None:
    """Full jitter: anything from a moment to the ceiling."""
    error = Offline("away")

    assert [30.0, 60.0, 120.0] == [retry_after_s(error, n, 1.0) for n in range(3)]
    assert RETRY_MAX_S == retry_after_s(error, 100, 1.0)
    assert 1.0 == retry_after_s(error, 5, 0.0)


@pytest.mark.parametrize(("asked", "least"), [(60.0, 60.0), (0.0, 1.0), (-5.0, 1.0), (1e12, RETRY_AFTER_MAX_S)])
def test_what_the_source_asked_is_kept(asked: float, least: float) -> None:
    """Never earlier than asked, within a bound; failures before do not matter."""
    waits = [retry_after_s(RateLimited("slow", retry_after_s=asked), 9, unit) for unit in (0.0, 1.0)]

    assert least == waits[0]
    assert least <= waits[1] <= least * 1.06


def test_failures_in_a_row_are_counted_from_the_newest() -> None:
    """Anything but a failure ends the row."""
    assert [0, 0, 2, 1] == [
        failures_before(statuses)
        for statuses in ([], ["ok", "failed"], ["failed", "failed"], ["failed", "partial", "failed"])
    ]

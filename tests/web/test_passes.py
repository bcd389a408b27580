"""Secrets that are handed out and known again."""

from __future__ import annotations

from core.model.clock import ManualClock
from core.web.passes import Passes


def test_a_pass_is_spent_once() -> None:
    """The second use of a ticket finds nothing."""
    passes = Passes(ManualClock(), lifetime_s=60, count_max=4)
    secret = passes.issue()

    assert [True, False] == [passes.spend(secret), passes.spend(secret)]


def test_a_pass_expires() -> None:
    """Valid just before its end, worthless at it."""
    clock = ManualClock()
    passes = Passes(clock, lifetime_s=60, count_max=4)
    secret = passes.issue()

    clock.advance(59.9)
    before = passes.is_valid(secret)
    clock.advance(0.1)

    assert (True, False) == (before, passes.is_valid(secret))


def test_renewing_starts_the_time_anew() -> None:
    """What is in use does not expire."""
    clock = ManualClock()
    passes = Passes(clock, lifetime_s=60, count_max=4)
    secret = passes.issue()

    for _ in range(5):
        clock.advance(50)
        assert passes.renew(secret)


def test_the_set_is_bounded_and_drops_the_one_used_longest_ago() -> None:
    """One more than fits pushes out the one that nobody used since."""
    passes = Passes(ManualClock(), lifetime_s=60, count_max=2)
    first, second = passes.issue(), passes.issue()
    passes.renew(first)
    third = passes.issue()

    assert (True, False, True) == (passes.is_valid(first), passes.is_valid(second), passes.is_valid(third))
    assert 2 == len(passes)


def test_secrets_are_long_and_differ() -> None:
    """256 random bits each, and no secret is kept as it is."""
    passes = Passes(ManualClock(), lifetime_s=60, count_max=100, prefix="lkc_")
    secrets = {passes.issue() for _ in range(100)}

    assert 100 == len(secrets)
    assert all(secret.startswith("lkc_") and len(secret) == 47 for secret in secrets)
    assert not any(secret in repr(vars(passes)) for secret in secrets)

"""What is shown once."""

from __future__ import annotations

from core.model.clock import ManualClock
from core.web.once import KEPT_MAX, LIFETIME_S, Once


def test_a_text_is_taken_once() -> None:
    """The second look finds nothing, nor does a name that was never given."""
    once = Once(ManualClock())
    name = once.put("a token")

    assert ["a token", None, None] == [once.take(name), once.take(name), once.take("nothing")]


def test_it_is_forgotten_in_time() -> None:
    """After ten minutes."""
    clock = ManualClock()
    once = Once(clock)
    early, late = once.put("early"), once.put("late")
    clock.advance(LIFETIME_S - 1)
    assert "early" == once.take(early)
    clock.advance(1)

    assert once.take(late) is None


def test_the_oldest_makes_room() -> None:
    """64 are kept, and not one more."""
    once = Once(ManualClock())
    names = [once.put(str(number)) for number in range(KEPT_MAX + 1)]

    assert [None, "1", str(KEPT_MAX)] == [once.take(names[n]) for n in (0, 1, KEPT_MAX)]

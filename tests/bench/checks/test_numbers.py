"""The arithmetic of the benches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench._numbers import Samples, compared, figure, middle, spread_of


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (0.07, 7), (0.50, 50), (0.501, 51), (0.95, 95), (1.0, 100)])
def test_share_of_a_hundred(share: float, expected: float) -> None:
    """The nearest rank: `share` of the measurements are not above it."""
    assert expected == Samples.of(range(100, 0, -1)).at(share)


def test_p95_of_twenty_is_the_nineteenth() -> None:
    """Twenty starts tell of their one worst by the most, not by the p95."""
    samples = Samples.of(range(1, 21))

    assert (1, 10, 19, 20) == (samples.least, samples.p50, samples.p95, samples.most)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0.001, 1.0))
def test_a_share_was_measured(values: list[float], share: float) -> None:
    """No figure is told that nobody measured, and enough of the measurements do not exceed it."""
    found = Samples.of(values).at(share)

    assert found in values
    assert len(values) * share - 1e-6 <= sum(value <= found for value in values)


def test_nothing_measured_tells_nothing() -> None:
    """An empty row is an error, not a zero."""
    with pytest.raises(ValueError, match="no measurements"):
        Samples.of([])


def test_median_round_is_a_round() -> None:
    """Of an even number the lower of the two in the middle."""
    assert 2.0 == middle([4.0, 1.0, 3.0, 2.0])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.2134, "0.213"), (0.9996, "1.000"), (2.134, "2.13"), (21.34, "21.3"), (213.4, "213"), (-0.5, "-0.500")],
)
def test_three_digits(value: float, text: str) -> None:
    """As many digits as a measurement carries."""
    assert text == figure(value)


@pytest.mark.parametrize(("ours", "theirs", "text"), [(1.0, 8.0, "1/8.00"), (3.0, 2.0, "1.50 ×"), (0.0, 2.0, "–")])
def test_comparison(ours: float, theirs: float, text: str) -> None:
    """A part of theirs, a multiple of theirs, or nothing to say."""
    assert text == compared(ours, theirs)


def test_median_and_spread() -> None:
    """Whoever reads sees how far the rounds lay apart."""
    assert "2.00 (1.00 … 4.00)" == spread_of([4.0, 1.0, 2.0])

"""Every way a source writes a moment is understood, and what is none stays none."""

from __future__ import annotations

from typing import Any

import pytest

from core.store.moments import moment


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-11-20T08:22:49Z", 1795162969.0),
        ("2026-11-20t08:22:49z", 1795162969.0),
        ("2026-11-20T09:22:49+01:00", 1795162969.0),
        ("2026-11-20 08:22:49.250Z", 1795162969.25),
        ("2026-11-20T08:22:49", 1795162969.0),
        ("2026-11-20", 1795132800.0),
        ("  2026-11-20 ", 1795132800.0),
        (1795162969, 1795162969.0),
        (1795162969.5, 1795162969.5),
        (1795162969250, 1795162969.25),
        ("1795162969", 1795162969.0),
        ("1795162969250", 1795162969.25),
        (-86400, -86400.0),
        ("1969-12-31T00:00:00Z", -86400.0),
        (0, 0.0),
    ],
)
def test_moment_is_read_in_each_form(written: Any, expected: float) -> None:
    """ISO 8601 and RFC 3339 texts and epoch numbers in seconds or milliseconds give epoch seconds."""
    assert expected == moment(written)


@pytest.mark.parametrize(
    "written",
    [
        *(None, True, [], {}, 10**400, 1e30, float("nan"), float("inf")),
        *("yesterday", "", "2026-13-01", "2026-11-20T25:00:00Z", "2026-11-20T08:22:60Z", "9" * 80),
    ],
)
def test_what_is_no_moment_gives_none(written: Any) -> None:
    """Nothing else is taken for a moment, and nothing raises."""
    assert moment(written) is None

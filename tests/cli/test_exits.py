"""Exit codes follow from an error's group."""

from __future__ import annotations

import pytest

from core.cli import exits
from core.model import errors
from core.model.errors import LockerError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.PortTaken(), exits.OWNER_MUST_ACT),
        (errors.AuthRequired(), exits.OWNER_MUST_ACT),
        (errors.NotFound(), exits.REFUSED),
        (errors.BadRecord(), exits.REFUSED),
        (errors.Offline(), exits.LATER),
        (errors.HandshakeInvalid(), exits.BROKEN),
        (LockerError(), exits.BROKEN),
    ],
)
def test_an_error_s_group_decides_the_exit_code(error: LockerError, code: int) -> None:
    """A script learns from the code whether to wait, to ask its owner, or to give up."""
    assert code == exits.exit_code(error)

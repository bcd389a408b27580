"""How the owner's token comes in."""

from __future__ import annotations

import os

import pytest

from core.cli.login_token import TOKEN_BYTES_MAX, TOKEN_CHARS_MIN, checked_login_token, take_login_token
from core.model.errors import ConfigInvalid


def test_the_token_is_taken_out() -> None:
    """It is read once and stands in the environment no more."""
    environment = {"LOCKER_TOKEN": "x" * 40, "PATH": "/bin"}

    assert "x" * 40 == take_login_token(environment)
    assert {"PATH": "/bin"} == environment


def test_the_pipe_is_read_and_closed() -> None:
    """What locker.py wrote arrives, and the descriptor is not inherited by anybody."""
    read_end, write_end = os.pipe()
    os.write(write_end, b"y" * 40)
    os.close(write_end)
    environment = {"LOCKER_TOKEN_FD": str(read_end)}

    assert "y" * 40 == take_login_token(environment)
    assert {} == environment
    with pytest.raises(OSError):
        os.fstat(read_end)


@pytest.mark.parametrize("handle", ["nonsense", "-1", "987654"])
def test_a_wrong_descriptor_is_named(handle: str) -> None:
    """No traceback for a variable that somebody set by hand."""
    with pytest.raises(ConfigInvalid):
        take_login_token({"LOCKER_TOKEN_FD": handle})


def test_no_token_is_no_token() -> None:
    """Without one the owner logs in by the printed address."""
    assert take_login_token({}) is None
    assert take_login_token({"LOCKER_TOKEN": ""}) is None
    assert checked_login_token(None) is None


@pytest.mark.parametrize("length", [TOKEN_CHARS_MIN, TOKEN_BYTES_MAX])
def test_a_token_of_allowed_length(length: int) -> None:
    """The shortest and the longest that pass."""
    assert "x" * length == checked_login_token("x" * length)


@pytest.mark.parametrize(
    "token", ["", "x" * (TOKEN_CHARS_MIN - 1), "x" * (TOKEN_BYTES_MAX + 1), "x" * 40 + " ", "ü" * 40, "x" * 40 + "\n"]
)
def test_a_token_that_cannot_serve_is_refused(token: str) -> None:
    """Too short to be safe, too long to be meant, or not fit for a header; the message does not repeat it."""
    with pytest.raises(ConfigInvalid) as caught:
        checked_login_token(token)

    assert not token.strip() or token not in caught.value.detail + caught.value.remedy

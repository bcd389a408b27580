"""The owner's token as it is handed over at start: by locker.py's pipe, or by LOCKER_TOKEN itself."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from core.model.errors import ConfigInvalid

VARIABLE = "LOCKER_TOKEN"
PIPE_VARIABLE = "LOCKER_TOKEN_FD"
TOKEN_BYTES_MAX = 4096
TOKEN_CHARS_MIN = 32


def take_login_token(environment: MutableMapping[str, str]) -> str | None:
    """The token, taken out of the environment so that no child inherits it; None if none was given, or an empty one."""
    given = environment.pop(VARIABLE, None) or None
    handle = environment.pop(PIPE_VARIABLE, None)
    if handle is None:
        return given
    if not handle.isdecimal():
        raise ConfigInvalid(f"{PIPE_VARIABLE} is not a file descriptor.", remedy=f"Set {VARIABLE} instead.")
    try:
        with os.fdopen(int(handle), "rb") as pipe:
            return pipe.read(TOKEN_BYTES_MAX + 1).decode("utf-8", "surrogateescape")
    except OSError as err:
        raise ConfigInvalid(
            f"{PIPE_VARIABLE} cannot be read: {err.strerror}.", remedy=f"Set {VARIABLE} instead."
        ) from err


def checked_login_token(token: str | None) -> str | None:
    """The token as it is, or ConfigInvalid when it could be guessed or could not be sent in a header."""
    if token is None:
        return None
    if not TOKEN_CHARS_MIN <= len(token) <= TOKEN_BYTES_MAX:
        raise ConfigInvalid(
            f"{VARIABLE} has {len(token)} characters; it needs {TOKEN_CHARS_MIN} to {TOKEN_BYTES_MAX}.",
            remedy="Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigInvalid(
            f"{VARIABLE} holds blanks or characters beyond ASCII, which cannot be sent in a header.",
            remedy="Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return token

"""Log lines without secrets."""

from __future__ import annotations

import logging

from connectors.sdk.logs import BLOT, Blotting, secrets_in


def _line(blotting: Blotting, message: str, *args: object, error: BaseException | None = None) -> str:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    return blotting.format(logging.LogRecord("x", logging.INFO, "f", 1, message, args, exc_info))


def test_known_secrets_are_blotted() -> None:
    """In the message, its arguments and a traceback; the longer before the shorter that it contains."""
    blotting = Blotting()
    blotting.keep_out(["token-1", "token-1-long"])

    assert f"INFO x: a {BLOT} b {BLOT}" == _line(blotting, "a token-1-long b %s", "token-1")
    assert "token-1" not in _line(blotting, "failed", error=ValueError("bad token-1"))


def test_short_texts_are_let_through() -> None:
    """Blotting every `a` would leave no line readable."""
    blotting = Blotting()
    blotting.keep_out(["abc", ""])

    assert "INFO x: abc" == _line(blotting, "abc")


def test_secrets_in_settings_are_found_however_deep() -> None:
    """At the places that the manifest declares secret, in lists of objects too."""
    schema = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "password": {"type": "string", "secret": True}},
        },
    }

    assert ["p1", "p2"] == secrets_in(schema, [{"name": "a", "password": "p1"}, {"name": "b", "password": "p2"}])
    assert ["x"] == secrets_in({"type": "string", "secret": True}, "x")
    assert [] == secrets_in({"type": "string", "secret": True}, None)
    assert [] == secrets_in({"type": "string"}, "plain")

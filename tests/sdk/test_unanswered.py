"""Why nothing answered, told of real failures of a real session."""

from __future__ import annotations

import socket

import pytest
import requests

from connectors.sdk import Session, why_unanswered
from connectors.sdk.addresses import typed_origins


def _refused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nothing_listens() -> None:
    """A refused connection is told as what it is, without the name of a class."""
    url = f"http://127.0.0.1:{_refused_port()}/"
    with Session(typed=typed_origins(url)) as session, pytest.raises(requests.ConnectionError) as caught:
        session.get(url)

    assert "nothing listens there" == why_unanswered(caught.value)


def test_it_takes_too_long() -> None:
    """The session's own deadline is told like the server's silence."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        with Session(typed=typed_origins(url), deadline_s=0.2) as session, pytest.raises(requests.Timeout) as caught:
            session.get(url)

    assert "it took too long" == why_unanswered(caught.value)


@pytest.mark.parametrize(
    ("error", "told"),
    [(socket.gaierror(-2, "x"), "no such name is known"), (OSError("reset"), "the connection broke")],
)
def test_the_cause_is_looked_for(error: OSError, told: str) -> None:
    """What lies behind requests' error says more than the error."""
    try:
        raise requests.ConnectionError("secret") from error
    except requests.ConnectionError as caught:
        assert told == why_unanswered(caught)

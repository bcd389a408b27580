"""The two lines that start a child."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.errors import HandshakeInvalid
from core.model.handshake import Announcement, Greeting, parse_announcement

GREETING = Greeting(
    port=28213,
    working_directory="/me/github",
    locker_url="http://127.0.0.1:8042",
    id="github",
    uid="0190",
    device="abc",
    core_pid=4711,
    source_directory="/src/github",
    external_base="http://127.0.0.1:8042/Me/github/",
    token="the-token",
    key="the-key",
    settings={"urls": ["http://example.test/"]},
)


def test_greeting_uses_the_names_of_the_contract() -> None:
    """One line of JSON with exactly the documented keys."""
    line = GREETING.to_line()

    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert {
        "port", "workingDirectory", "lockerUrl", "protocol", "id", "uid", "device", "originEpoch", "account",
        "corePid", "sourceDirectory", "externalBase", "token", "key", "settings", "app",
        "limits", "due", "storeSocket", "writerSocket", "timezone",
    } == set(json.loads(line))  # fmt: skip


def test_greeting_comes_back_and_ignores_unknown_keys() -> None:
    """A newer core may send more; the child reads what it knows."""
    document = json.loads(GREETING.to_line()) | {"mongo": {"host": "localhost"}}

    assert GREETING == Greeting.from_line(json.dumps(document).encode())


def test_no_secret_in_the_repr() -> None:
    """Printing a greeting shows neither token nor key nor settings."""
    for text in (repr(GREETING), str(GREETING), f"{GREETING}"):
        assert "the-token" not in text and "the-key" not in text and "example.test" not in text


@pytest.mark.parametrize("line", [b"", b"{}", b"[1]", b'{"port": "x"}', b"\xff\n"])
def test_broken_greeting_is_refused_without_quoting_it(line: bytes) -> None:
    """The line may hold secrets, so the error does not repeat it."""
    with pytest.raises(HandshakeInvalid) as caught:
        Greeting.from_line(line)

    assert "the greeting on stdin is not the JSON object that the core writes" == str(caught.value)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"{}\n", Announcement()),
        (b'{"port": 28213}\n', Announcement(port=28213)),
        (b'  {"port": 1, "capabilities": ["a", 1]}', Announcement(port=1, capabilities=("a",))),
        (GREETING.to_line(), Announcement(port=28213)),
        (b"listening\n", None),
        (b'{"port": 28', None),
        (b"[28213]", None),
        (b"", None),
        (b"{" * 100_000, None),
    ],
)  # fmt: skip
def test_announcements_and_noise(line: bytes, expected: Announcement | None) -> None:
    """An object announces, echoing the greeting included; everything else is noise."""
    assert expected == parse_announcement(line)


@pytest.mark.parametrize(
    "line",
    [b'{"port": 0}', b'{"port": 65536}', b'{"port": "1"}', b'{"port": true}', b'{"port": 1.5}', b'{"protocol": 2}'],
)
def test_an_announcement_that_breaks_the_contract(line: bytes) -> None:
    """A port that cannot be, or another protocol, is an error rather than noise."""
    with pytest.raises(HandshakeInvalid):
        parse_announcement(line)


@given(st.binary(max_size=300))
def test_any_line_is_an_announcement_noise_or_invalid(line: bytes) -> None:
    """No bytes make the parser fail in another way."""
    try:
        assert isinstance(parse_announcement(line), Announcement | None)
    except HandshakeInvalid as error:
        assert error.status == 502

"""The redactor: no secret leaves through a log record, whatever part of it carries the secret."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.vault.redact import (
    REDACTED,
    SECRET_CHARS_MAX,
    SECRET_CHARS_MIN,
    SECRETS_MAX,
    TEXT_CHARS_MAX,
    Redactor,
)

SECRET = 'p&ss"wörd\\ 1/2'


class Captured:
    """A logger of its own whose output is read back as text."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.log = logging.Logger("captured")
        self.redactor = Redactor()
        self.add_handler(self.stream)

    def add_handler(self, stream: io.StringIO) -> None:
        """Write to this too, with the redactor before it."""
        handler = logging.StreamHandler(stream)
        handler.addFilter(self.redactor)
        self.log.addHandler(handler)

    @property
    def text(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def captured() -> Iterator[Captured]:
    made = Captured()
    made.redactor.add(SECRET)
    yield made
    for handler in made.log.handlers:
        handler.close()


def test_a_registered_secret_is_taken_out(captured: Captured) -> None:
    """In the message and in its arguments the secret is replaced and the rest stays."""
    captured.log.info("before %s after n=%d", SECRET, 7)
    captured.log.info(f"before {SECRET} after")

    assert captured.text == f"before {REDACTED} after n=7\nbefore {REDACTED} after\n"


@pytest.mark.parametrize(
    "form",
    [
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        urlencode({"q": SECRET}),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        repr(SECRET),
        repr({"x": SECRET}),
    ],
)
def test_other_spellings_are_taken_out(captured: Captured, form: str) -> None:
    """URL-encoded, JSON-escaped and repr'd forms are the same secret."""
    captured.log.info("x %s y", form)

    assert REDACTED in captured.text
    assert "rd" not in captured.text.replace(REDACTED, "")


def test_tracebacks_are_redacted(captured: Captured) -> None:
    """An exception that carries a secret in its text, or in its cause's, shows none."""
    try:
        try:
            raise ValueError(f"bad {SECRET}")
        except ValueError as err:
            raise RuntimeError(f"worse Bearer {'t' * 20}") from err
    except RuntimeError:
        captured.log.exception("failed url=%s", "https://x.example/?token=abc")

    assert "RuntimeError: worse" in captured.text
    assert "Traceback" in captured.text
    assert SECRET not in captured.text
    assert "tttt" not in captured.text
    assert "abc" not in captured.text


def test_stack_and_arguments_that_do_not_fit(captured: Captured) -> None:
    """A wrong format string does not make logging print the arguments by itself."""
    captured.log.info("needs a number: %d", SECRET)
    captured.log.info("stack", stack_info=True)

    assert SECRET not in captured.text
    assert "its arguments do not fit" in captured.text


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer VALUE-VALUE",
        "authorization=Basic VALUE-VALUE",
        "{'Authorization': 'Bearer VALUE-VALUE'}",
        "(b'authorization', b'Bearer VALUE-VALUE')",
        "(b'cookie', b'locker_session=VALUE-VALUE; other=VALUE')",
        "Cookie: a=VALUE; b=VALUE",
        "Set-Cookie: locker_session=VALUE; Path=/",
        "got bearer VALUE-VALUE, fine",
        "https://x.example/cb?code=VALUE&state=VALUE",
        "https://x.example/login?ticket=VALUE",
        "GET /x?access_token=VALUE&b=1",
        "token=VALUE",
        "refresh_token: VALUE",
        '{"access_token": "VALUE VALUE", "n": 1}',
        '{"access_token":"VALUE\\"VALUE"}',
        "{'client_secret': 'VALUE'}",
        r'"{\"refresh_token\": \"VALUE VALUE\"}"',
        "X-Locker-Token: VALUE",
        "password='VALUE VALUE'",
        'passphrase = "VALUE"',
        "api_key=VALUE api-key: VALUE apikey=VALUE",
        "oauth_verifier=VALUE&oauth_token_secret=VALUE",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(captured: Captured, text: str) -> None:
    """Tokens that nobody registered are recognised by what stands before them."""
    captured.log.info("%s", text)

    assert "VALUE" not in captured.text
    assert REDACTED in captured.text


@pytest.mark.parametrize(
    "text",
    [
        "child ready id=github port=4711 took_s=0.02",
        "exit code=1 state=running key=repo/12",
        "3 tokens used, 2 secrets sealed",
        "path=/Me/github/records/repo?limit=3&after=x",
        "the bearer of news",
        "basic things",
    ],
)
def test_ordinary_lines_stay_as_they_are(captured: Captured, text: str) -> None:
    """Redaction does not eat what people need to read."""
    captured.log.info("%s", text)

    assert captured.text == text + "\n"


@given(st.text(min_size=SECRET_CHARS_MIN, max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_no_registered_secret_survives(secret: str, before: str, after: str) -> None:
    """For any secret and any surroundings, the secret is gone (unless the replacement itself spells it)."""
    redactor = Redactor()
    redactor.add(secret)

    redacted = redactor.redact(before + secret + after)

    assert secret not in redacted.replace(REDACTED, "\x00")


def test_one_secret_inside_another() -> None:
    """The longer of two secrets goes first, so that its rest does not stay."""
    redactor = Redactor()
    redactor.add("hunter2")
    redactor.add("hunter2-and-more")

    assert redactor.redact("x hunter2-and-more y hunter2 z") == f"x {REDACTED} y {REDACTED} z"


def test_too_short_secrets_are_left() -> None:
    """Below the bound nothing is registered, at the bound it is."""
    redactor = Redactor()
    redactor.add("x" * (SECRET_CHARS_MIN - 1))
    assert redactor.redact("a xxx b") == "a xxx b"

    redactor.add("y" * SECRET_CHARS_MIN)
    assert redactor.redact("a yyyy b") == f"a {REDACTED} b"


def test_forgotten_secrets_pass_again() -> None:
    """A child's token is dropped when the child ends; forgetting twice is nothing."""
    redactor = Redactor()
    redactor.add("abcdef")
    redactor.forget("abcdef")
    redactor.forget("abcdef")

    assert redactor.redact("abcdef") == "abcdef"


def test_the_number_of_secrets_is_bounded() -> None:
    """At the bound all are kept; one more pushes out the first."""
    redactor = Redactor()
    names = [f"secret-number-{number:05}" for number in range(SECRETS_MAX + 1)]
    for name in names[:-1]:
        redactor.add(name)
    assert redactor.redact(names[0]) == REDACTED

    redactor.add(names[-1])

    assert redactor.redact(names[0]) == names[0]
    assert redactor.redact(names[1]) == redactor.redact(names[-1]) == REDACTED


def test_long_texts_are_cut_and_no_secret_is_cut_in_half() -> None:
    """A text at the bound stays whole; a longer one ends early, without the beginning of a secret at its end."""
    redactor = Redactor()
    secret = "S" * 40
    redactor.add(secret)
    assert redactor.redact("x" * TEXT_CHARS_MAX) == "x" * TEXT_CHARS_MAX

    for start in range(TEXT_CHARS_MAX + SECRET_CHARS_MAX - 60, TEXT_CHARS_MAX + SECRET_CHARS_MAX + 5, 7):
        redacted = redactor.redact((secret + " ") * 300 + "x" * (start - 300 * 41) + secret + "x" * 500)
        assert len(redacted) <= TEXT_CHARS_MAX + 20
        assert "S" not in redacted
    assert redacted.endswith("[cut]")


def test_a_record_through_two_handlers(captured: Captured) -> None:
    """A second guarded handler sees the finished message and does not format it again."""
    second = io.StringIO()
    captured.add_handler(second)

    captured.log.info("100%% of %s", SECRET)

    assert second.getvalue() == captured.text == f"100% of {REDACTED}\n"


def test_repr_tells_only_how_many(captured: Captured) -> None:
    """The redactor holds the secrets and shows none."""
    assert repr(captured.redactor) == "Redactor(1 secrets)"


def test_hostile_lines_stay_fast() -> None:
    """Texts made to trip the patterns up cost milliseconds, not minutes."""
    redactor = Redactor()
    hostile = ["token=" * 10_000, 'token":"' * 8_000, "bearer " * 9_000, "cookie: " * 8_000, "token" + " " * 60_000]

    started = time.process_time()
    for text in hostile:
        redactor.redact(text)

    assert time.process_time() - started < 2

"""Secrets taken out of log records before any handler writes them: known ones, and what looks like one.

The filter goes on the handlers, where it meets the records of every logger. It finishes the message
itself, arguments and traceback included, so that nothing after it sees the original.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
SECRETS_MAX = 4096
SECRET_CHARS_MIN = 4
SECRET_CHARS_MAX = 8192
TEXT_CHARS_MAX = 64 * 1024

_CUT = " … [cut]"
_NAME = r"token|secret|password|passwd|passphrase|api[_-]?key|app[_-]?key|private[_-]?key|verifier|session"
_SEPARATOR = r"\\{0,3}[\"']?\s{0,4}[=:]\s{0,4}"
_VALUE = r"(?:b?\\{0,3}\"(?:\\.|[^\"\\])+|b?'(?:\\.|[^'\\])+|[^\s&;,'\"<>()\[\]{}\\]+)"
_HEADER = re.compile(
    rf"((?:set-)?cookie|authorization)({_SEPARATOR}|[\"'], )b?\\{{0,3}}[\"']?[^\r\n\"']+", re.IGNORECASE
)
_SCHEME = re.compile(r"\b(bearer|basic) +[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_NAMED = re.compile(rf"({_NAME})({_SEPARATOR}){_VALUE}", re.IGNORECASE)
_IN_QUERY = re.compile(r"([?&](?:code|state|ticket)=)[^\s&;,'\"<>]+", re.IGNORECASE)
_EXCEPTIONS = logging.Formatter()


class Redactor(logging.Filter):
    """A filter that lets every record pass without its secrets. Any thread may add and forget."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._forms_of: dict[str, tuple[str, ...]] = {}
        # Replaced whole, never changed, so that a record is redacted without waiting for the lock.
        self._forms: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Redactor({len(self._forms_of)} secrets)"

    def add(self, secret: str) -> None:
        """Take `secret` out of every record from now on, also where it stands URL-encoded or escaped.

        One of fewer than SECRET_CHARS_MIN characters is left: taking it out would garble every line
        and tell it by its absence. Beyond SECRETS_MAX the one added first is forgotten.
        """
        if len(secret) < SECRET_CHARS_MIN:
            return
        with self._lock:
            self._forms_of.pop(secret, None)
            self._forms_of[secret] = _forms(secret[:SECRET_CHARS_MAX])
            if len(self._forms_of) > SECRETS_MAX:
                del self._forms_of[next(iter(self._forms_of))]
            self._arrange()

    def forget(self, secret: str) -> None:
        """Stop looking for `secret`: it opens nothing any more."""
        with self._lock:
            if self._forms_of.pop(secret, None) is not None:
                self._arrange()

    def redact(self, text: str) -> str:
        """`text` without secrets, and not longer than TEXT_CHARS_MAX."""
        is_long = len(text) > TEXT_CHARS_MAX
        # The cut may go through a secret; what is left of it then lies within the part dropped below.
        text = text[: TEXT_CHARS_MAX + SECRET_CHARS_MAX] if is_long else text
        for form in self._forms:
            if form in text:
                text = text.replace(form, REDACTED)
        text = _HEADER.sub(rf"\1\2{REDACTED}", text)
        text = _SCHEME.sub(rf"\1 {REDACTED}", text)
        text = _NAMED.sub(rf"\1\2{REDACTED}", text)
        text = _IN_QUERY.sub(rf"\1{REDACTED}", text)
        return text[: min(TEXT_CHARS_MAX, len(text) - SECRET_CHARS_MAX)] + _CUT if is_long else text

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; `record` now has a finished, redacted message, and its traceback as redacted text."""
        record.msg, record.args = self.redact(_message(record)), ()
        if record.exc_info:
            record.exc_text = record.exc_text or _EXCEPTIONS.formatException(record.exc_info)
            record.exc_info = None
        if record.exc_text:
            record.exc_text = self.redact(record.exc_text)
        if record.stack_info:
            record.stack_info = self.redact(record.stack_info)
        return True

    def _arrange(self) -> None:
        # Longest first: a secret may begin with another one.
        forms = {form for forms in self._forms_of.values() for form in forms}
        self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _forms(secret: str) -> tuple[str, ...]:
    """`secret` as it may stand in a text: as it is, in a URL, in JSON, in a Python repr."""
    escaped = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    return tuple(dict.fromkeys((secret, quote(secret, safe=""), quote(secret), quote_plus(secret), *escaped)))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # The arguments' own __str__ runs here, and a log call must never end its caller.
        return f"{record.msg} (its arguments do not fit)"

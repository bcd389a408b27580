"""Log lines on stderr, where the core collects them under their levels, with every known secret blotted out."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any

BLOT = "•••"
SECRET_LETTERS_MIN = 4
_FORMAT = "%(levelname)s %(name)s: %(message)s"


class Blotting(logging.Formatter):
    """Formats as always, tracebacks included, then replaces each secret it was told of."""

    def __init__(self) -> None:
        super().__init__(_FORMAT)
        self._lock = threading.Lock()
        self._secrets: tuple[str, ...] = ()

    def keep_out(self, secrets: Iterable[object]) -> None:
        """Blot these from now on; texts too short to be secrets are let through, or no line could be read."""
        with self._lock:
            found = {text for text in map(str, secrets) if len(text) >= SECRET_LETTERS_MIN}
            self._secrets = tuple(sorted({*self._secrets, *found}, key=len, reverse=True))

    def format(self, record: logging.LogRecord) -> str:
        """The line, without secrets."""
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, BLOT)
        return text


def start_logging() -> Blotting:
    """Send log lines of this process to stderr; the answer learns the secrets."""
    blotting = Blotting()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(blotting)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for noisy in ("urllib3", "uvicorn.error", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return blotting


def secrets_in(schema: Mapping[str, Any], value: Any) -> list[str]:
    """The texts that stand at `secret: true` places of a setting, however deep."""
    if schema.get("secret") is True:
        return [] if value is None else [str(value)]
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        return [text for name, inner in properties.items() for text in secrets_in(inner, value.get(name))]
    if isinstance(value, list):
        return [text for item in value for text in secrets_in(schema.get("items", {}), item)]
    return []

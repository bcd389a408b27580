"""Secrets that the core hands out and knows again: login tickets, sessions, short owner tokens.

Only hashes are kept, in memory: a restart forgets them all, as a notebook server's does. Owned by the event
loop; `issue` may be called from it alone.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace

from core.model.clock import Clock

SECRET_BYTES = 32


def digest(secret: str) -> bytes:
    """What is kept of a secret. Looking up a hash gives nothing away by its timing."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


@dataclass(frozen=True)
class _Pass:
    expires_at: float
    is_marked: bool


class Passes:
    """A bounded set of random secrets, each valid for a while; the oldest goes when the set is full.

    >>> from core.model.clock import ManualClock
    >>> passes = Passes(ManualClock(), lifetime_s=60, count_max=2)
    >>> ticket = passes.issue()
    >>> passes.spend(ticket), passes.spend(ticket)
    (True, False)
    """

    def __init__(self, clock: Clock, *, lifetime_s: float, count_max: int, prefix: str = "") -> None:
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._count_max = count_max
        self._prefix = prefix
        self._passes: dict[bytes, _Pass] = {}

    def __len__(self) -> int:
        return len(self._passes)

    def issue(self, *, is_marked: bool = False) -> str:
        """A new secret of 256 random bits; the mark says one thing about it for as long as it is valid."""
        self._forget_expired()
        while len(self._passes) >= self._count_max:
            self._passes.pop(next(iter(self._passes)))
        secret = self._prefix + secrets.token_urlsafe(SECRET_BYTES)
        self._passes[digest(secret)] = _Pass(self._clock.monotonic() + self._lifetime_s, is_marked)
        return secret

    def is_valid(self, secret: str) -> bool:
        """Whether the secret was issued and has not expired."""
        found = self._passes.get(digest(secret))
        return found is not None and found.expires_at > self._clock.monotonic()

    def is_marked(self, secret: str) -> bool:
        """Whether the secret is valid and was issued with the mark."""
        return self.is_valid(secret) and self._passes[digest(secret)].is_marked

    def renew(self, secret: str) -> bool:
        """Whether the secret is valid; if so its time starts anew, and it is the last to go when the set is full."""
        if not self.is_valid(secret):
            return False
        key = digest(secret)
        self._passes[key] = replace(self._passes.pop(key), expires_at=self._clock.monotonic() + self._lifetime_s)
        return True

    def spend(self, secret: str) -> bool:
        """Whether the secret was valid; it never is again."""
        valid = self.is_valid(secret)
        self._passes.pop(digest(secret), None)
        return valid

    def _forget_expired(self) -> None:
        now = self._clock.monotonic()
        for key in [key for key, found in self._passes.items() if found.expires_at <= now]:
            del self._passes[key]

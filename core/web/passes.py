"""Secrets that the core hands out and knows again: login tickets, sessions, short owner tokens.

Only hashes are kept, in memory: a restart forgets them all, as a notebook server's does. Owned by the event
loop; `issue` may be called from it alone.
"""

from __future__ import annotations

import hashlib
import secrets

from core.model.clock import Clock

SECRET_BYTES = 32


def digest(secret: str) -> bytes:
    """What is kept of a secret. Looking up a hash gives nothing away by its timing."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


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
        self._expiry: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._expiry)

    def issue(self) -> str:
        """A new secret of 256 random bits."""
        self._forget_expired()
        while len(self._expiry) >= self._count_max:
            self._expiry.pop(next(iter(self._expiry)))
        secret = self._prefix + secrets.token_urlsafe(SECRET_BYTES)
        self._expiry[digest(secret)] = self._clock.monotonic() + self._lifetime_s
        return secret

    def is_valid(self, secret: str) -> bool:
        """Whether the secret was issued and has not expired."""
        return self._expiry.get(digest(secret), 0.0) > self._clock.monotonic()

    def renew(self, secret: str) -> bool:
        """Whether the secret is valid; if so its time starts anew, and it is the last to go when the set is full."""
        if not self.is_valid(secret):
            return False
        key = digest(secret)
        del self._expiry[key]
        self._expiry[key] = self._clock.monotonic() + self._lifetime_s
        return True

    def spend(self, secret: str) -> bool:
        """Whether the secret was valid; it never is again."""
        valid = self.is_valid(secret)
        self._expiry.pop(digest(secret), None)
        return valid

    def _forget_expired(self) -> None:
        now = self._clock.monotonic()
        for key in [key for key, expires_at in self._expiry.items() if expires_at <= now]:
            del self._expiry[key]

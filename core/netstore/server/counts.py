"""What happened on a server's connections, counted."""

from __future__ import annotations

from collections import Counter


class Counts:
    """The counts of one connection, owned by its thread; a server sums those of all its connections."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.errors = 0
        self.slow_ops = 0
        self.facts_written = 0
        self.facts_replayed = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.subscriptions = 0

    def add(self, other: Counts) -> None:
        """Take in what another one counted."""
        self.requests.update(other.requests.copy())
        self.errors += other.errors
        self.slow_ops += other.slow_ops
        self.facts_written += other.facts_written
        self.facts_replayed += other.facts_replayed
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.subscriptions += other.subscriptions

"""What was found in a store that its writer did not close properly, as one process tells another."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from core.model.errors import FileDamaged
from core.store.care.verify import Span
from core.store.durable import read_file

QUARANTINE = "quarantine"
MARKER = "damaged.json"
MARKER_BYTES_MAX = 1024 * 1024
SALVAGED = "salvage.db"
INSPECT, MEND, REPAIR = "inspect", "mend", "repair"

Verdict = Literal["whole", "tail_dropped", "damaged"]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """How a store was found.

    whole          nothing is lost
    tail_dropped   the end of the log was unfinished, or its last commit damaged: `bytes` of it are copied aside and
                   dropped, with `facts_seen` facts in them
    damaged        commits are lost, or the file is no sound database. It stays as it was, for reading alone, until
                   somebody accepts what could be salvaged: `salvaged` facts. `lost` are the positions of those gone

    `is_lost_known`: nothing is gone but what `lost`, or `facts_seen`, says, as far as an unfinished end can be told
    from a damaged one; else more may be. `head` is the last position that stays, or that anything in a damaged store
    speaks of. `bad` are positions near the end whose rows are not what was written, and `folds_differ` says that the
    current state is to be folded anew. `aside` are the copies, named within the folder.
    """

    verdict: Verdict
    at: float
    bytes: int = 0
    facts_seen: int = 0
    head: int = 0
    salvaged: int = 0
    lost: tuple[Span, ...] = ()
    is_lost_known: bool = True
    bad: tuple[int, ...] = ()
    faults: tuple[str, ...] = ()
    folds_differ: bool = False
    aside: tuple[str, ...] = ()

    @property
    def lost_count(self) -> int:
        """How many positions are gone."""
        return sum(span.last - span.first + 1 for span in self.lost)

    @property
    def copies(self) -> tuple[str, ...]:
        """Those of `aside` that hold what the store was."""
        return tuple(name for name in self.aside if not name.endswith(SALVAGED))

    @property
    def told_lost(self) -> str:
        """How many facts are lost, in words that go on from how many there are."""
        count = f"{self.lost_count:,} are"
        if self.is_lost_known:
            return f"{count} lost"
        known = f"{count} known to be lost and " if self.lost_count else ""
        return f"{known}an unknown number may be lost; the last position known is {self.head:,}"

    @property
    def told_salvaged(self) -> str:
        """The same, and how many could be salvaged."""
        return f"{self.salvaged:,} facts could be salvaged, {self.told_lost}"

    @property
    def told_dropped(self) -> str:
        """What the dropped end of the log held, in words."""
        if self.is_lost_known:
            return f"{self.bytes:,} bytes with {self.facts_seen:,} facts in them"
        return f"{self.bytes:,} bytes with an unknown number of facts in them, {self.facts_seen:,} of which can be told"


def spans_of(positions: list[int]) -> tuple[Span, ...]:
    """Positions in order, neighbours joined."""
    spans: list[Span] = []
    for position in positions:
        if spans and spans[-1].last + 1 >= position:
            spans[-1] = Span(spans[-1].first, position)
        else:
            spans.append(Span(position, position))
    return tuple(spans)


def damage_of(folder: Path) -> Findings | None:
    """What is known of a damaged store that waits for its owner; None where none waits. Raises FileDamaged."""
    text = read_file(folder / MARKER, bytes_max=MARKER_BYTES_MAX)
    try:
        return None if text is None else msgspec.json.decode(text, type=Findings)
    except msgspec.MsgspecError as err:
        raise FileDamaged(f"{folder / MARKER} cannot be read") from err

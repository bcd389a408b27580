"""Any bytes at all, given to everything that reads the wire: `python -m tests.netstore.fuzz_wire` where atheris is.

pip install atheris
python -m tests.netstore.fuzz_wire -max_total_time=300 -max_len=4096
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from core.model.clock import ManualClock
from core.model.errors import LockerError
from core.model.fact import Fact
from core.model.frames import BadFrame, FrameReader
from core.netstore import Door, ServerLimits, one_store
from core.netstore.server.call import Caller, LongReply
from core.netstore.server.clerk import Clerks
from core.netstore.server.counts import Counts
from core.netstore.server.desk import Desk
from core.netstore.server.session import Session
from core.store import Appended, Condition, Entry, FactPage, Page

FRAME_BYTES_MAX = 4096


class Nothing:
    """A store that takes every fact and has none."""

    def append(self, entries: Sequence[Entry], *, atomic: bool = False) -> list[Appended | LockerError]:
        """All of them are stored, it says."""
        return [
            Appended(seq=1, id=entry.id or "", recorded_at=1.0, duplicate=atomic, causation=None, value_hash="")
            for entry in entries
        ]

    def head(self) -> int:
        """Nothing is there."""
        return 0

    def epoch(self) -> str:
        """An incarnation."""
        return "00" * 16

    def facts(self, since: int, *, limit: int) -> list[Fact]:
        """None."""
        assert limit > 0 and since >= 0
        return []

    def floor(self) -> int:
        """Everything is retained."""
        return 0

    def storage_status(self) -> Condition:
        """In order."""
        return Condition(floor_seq=0, indexed_seq=0, db_bytes=0, wal_bytes=0, free_bytes=0, damaged=False)

    def record(self, *_: Any, **__: Any) -> None:
        """None."""

    def records(self, *_: Any, **__: Any) -> Page:
        """None."""
        return Page(records=[], next=None)

    def history(self, *_: Any, **__: Any) -> FactPage:
        """None."""
        return FactPage(facts=[], next=None)


def read_everything(data: bytes) -> int:
    """Take `data` as a connection's bytes, cut in two; how many frames were answered. Never raises."""
    desk = Desk(limits=ServerLimits(frame_bytes_max=FRAME_BYTES_MAX), clock=ManualClock())
    session = Session(
        Caller(Door(store_of=one_store(Nothing())), transport="unix", address="fuzz"),
        desk=desk,
        clerks=Clerks(),
        counts=Counts(),
    )
    reader = FrameReader(bytes_max=FRAME_BYTES_MAX)
    answered = 0
    for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
        reader.feed(piece)
        bodies = [body for body in reader if not isinstance(body, BadFrame)]
        # Each as it came, and as if a checksum had been right.
        for batch in (bodies, [data]):
            answers = session.answer(batch).frames
            answered += len(answers)
            for frame in answers:
                assert isinstance(frame, LongReply) or frame[4:5] == b"{"
                assert isinstance(frame, LongReply) or b"internal_error" not in frame, frame
        assert reader.pending <= max(len(data), FRAME_BYTES_MAX)
    return answered


if __name__ == "__main__":
    import atheris  # type: ignore[import-not-found]

    atheris.instrument_all()
    atheris.Setup(sys.argv, read_everything)
    atheris.Fuzz()

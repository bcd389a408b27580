"""What `doctor` finds: one thing looked at, how it is, and what helps."""

from __future__ import annotations

from dataclasses import dataclass

GOOD, NOTE, FAULT = "good", "note", "fault"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: good, worth a note, or a fault, with what to do about it."""

    level: str
    subject: str
    sentence: str
    cure: str = ""

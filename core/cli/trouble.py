"""What is wrong with a sync or a service, as lines below a table: what happened, each part of it, what helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.cli.screen import plain, say

PARTS_SHOWN_MAX = 20


@dataclass(frozen=True)
class Trouble:
    """A sentence, what helps, and where one sentence stands for several, each by its name."""

    detail: str
    remedy: str = ""
    parts: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_run(cls, run: Mapping[str, Any]) -> Trouble | None:
        """Why a run did not go well; None where it did. A connector writes its own: anything may be missing.

        >>> Trouble.of_run({"stream": "mail", "status": "partial", "quarantined": 2}).detail
        '2 records could not be stored and were set aside.'
        """
        if run.get("status") == "ok":
            return None
        problem = run.get("problem")
        if isinstance(problem, Mapping) and (problem.get("detail") or problem.get("title")):
            told = str(problem.get("detail") or problem["title"])
            return cls(told, str(problem.get("remedy") or ""), _parts(problem.get("parts")))
        if number := run.get("quarantined"):
            records = (
                "1 record could not be stored and was"
                if number == 1
                else f"{number} records could not be stored and were"
            )
            return cls(f"{records} set aside.", "The service's page and its log say which and why.")
        return cls(f"{run.get('stream')}: {run.get('status')}")


def show_trouble(name: str, trouble: Trouble) -> None:
    """The name of what is in trouble and the sentence on one line, the rest indented below it."""
    say(f"{plain(name)}: {plain(trouble.detail)}")
    for part, detail in trouble.parts:
        say(f"  {plain(part)}: {plain(detail)}")
    if trouble.remedy:
        say(f"  {plain(trouble.remedy)}")


def _parts(told: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(told, list):
        return ()
    named = [part for part in told[:PARTS_SHOWN_MAX] if isinstance(part, Mapping)]
    return tuple((str(part.get("name", "")), str(part.get("detail", ""))) for part in named)

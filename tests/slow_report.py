"""What the slow tests found, as a page: docs/slow.md is written by `python3 locker.py test --slow`."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTE_CHARS_MAX = 300


@dataclass
class Outcome:
    """One slow test: how it ended, how long it took, and the numbers it recorded."""

    result: str = "passed"
    took_s: float = 0.0
    numbers: dict[str, object] = field(default_factory=dict)


class SlowReport:
    """Gathers results as they come and writes the page at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._slow: dict[str, Outcome] = {}
        self._all: Counter[str] = Counter()
        self._begun = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one phase of one test."""
        if report.when == "call" or report.outcome != "passed":
            self._all[report.outcome] += 1
        if "slow" not in report.keywords:
            return
        outcome = self._slow.setdefault(report.nodeid, Outcome())
        outcome.took_s += report.duration
        outcome.numbers.update(dict(report.user_properties))
        if report.outcome != "passed":
            outcome.result = report.outcome

    def pytest_sessionfinish(self) -> None:
        """Write the page."""
        self._path.write_text(self._page(), encoding="utf-8")

    def _page(self) -> str:
        took_s = time.monotonic() - self._begun
        counts = Counter(outcome.result for outcome in self._slow.values())
        rows = [
            f"| `{name}` | {outcome.result} | {outcome.took_s:.1f} | {_numbers(outcome.numbers)} |"
            for name, outcome in sorted(self._slow.items())
        ]
        return "\n".join([
            "# The long tests", "",
            "Written by `python3 locker.py test --slow`; not edited by hand.", "",
            "| what | value |", "|---|---|",
            f"| date | {datetime.now(UTC):%Y-%m-%d %H:%M} UTC |",
            f"| commit | {_commit()} |",
            f"| machine | {_machine()} |",
            f"| python | {platform.python_version()} |",
            f"| whole run | {took_s:.0f} s: {_counted(self._all)} |",
            f"| slow tests | {len(self._slow)}: {_counted(counts)} |", "",
            "| slow test | result | seconds | measured |", "|---|---|---|---|", *rows, "",
        ])  # fmt: skip


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in ("passed", "failed", "skipped") if counts[name]) or "none"


def _numbers(numbers: dict[str, object]) -> str:
    text = ", ".join(f"{name} {value}" for name, value in numbers.items())
    return text.replace("|", "\\|").replace("\n", " ")[:NOTE_CHARS_MAX]


def _commit() -> str:
    asked = [["git", "rev-parse", "--short", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"]]
    try:
        commit, changes = (
            subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout.strip()
            for command in asked
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}, with changes not committed" if changes else commit


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB"

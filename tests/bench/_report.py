"""A bench's answer: Markdown, printed, and kept in a file where one is named.

`--markdown FILE` puts the bench's section into FILE in place of the one that an earlier run left there, and its rows
into the table `In short` at the top, which is what README shows. Sections and rows of other benches stay.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import _machine
from tests.bench._numbers import compared, figure

HEADING = """# Benchmarks

Made by the benches in `tests/bench`, which `python3 locker.py bench` runs; each section says with which command, where,
when and of which commit. Each bench runs the peer beside Locker in the same run, in turns. Brackets show how far the
rounds lay apart: whatever else ran on the machine shows there.
"""
BRIEF = "In short"


@dataclass
class Table:
    """Rows under a head; the first column is words, the others are figures."""

    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """One more row."""
        if len(cells) != len(self.head):
            raise ValueError(f"a row has {len(cells)} cells under a head of {len(self.head)}")
        self.rows.append(cells)

    def __str__(self) -> str:
        lines = [self.head, ["---", *("---:" for _ in self.head[1:])], *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

    @classmethod
    def parse(cls, text: str) -> Table:
        """The table that `str` made, found anywhere in `text`."""
        lines = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ") and line.endswith(" |")]
        return cls(lines[0], [cells for cells in lines[2:] if len(cells) == len(lines[0])])


def brief() -> Table:
    """The head of `In short`: what was measured, what it is here, and what it is by whom beside it."""
    return Table(["", "Locker", "beside it", "Locker's against its"])


class Report:
    """One section: what was measured, its tables, what is to be known of them, and its rows of `In short`."""

    def __init__(self, title: str, *, description: str | None) -> None:
        self.title = title
        self.brief = brief()
        self._parts = [(description or "").strip()]
        self._load_before = _machine.load()

    def add(self, part: Table | str) -> None:
        """One more table, or a paragraph."""
        self._parts.append(str(part))

    def beside(self, what: str, ours: float, peer: str, theirs: float) -> None:
        """One row of `In short`: ours, and a peer's of the same run."""
        self.brief.add(what, figure(ours), f"{peer} {figure(theirs)}", compared(ours, theirs))

    def publish(self, arguments: argparse.Namespace) -> None:
        """Print it, and put it into the file that was named."""
        section = self._section()
        sys.stdout.write(section + "\n")
        if self.brief.rows:
            sys.stdout.write(f"{BRIEF}:\n\n{self.brief}\n")
        if arguments.markdown is not None:
            keep(arguments.markdown, title=self.title, section=section, brief=self.brief)

    def _section(self) -> str:
        command = " ".join(["python -m", _module(), *_words_told()])
        made = (
            f"`{command}` · {_machine.today()} · commit {_machine.commit()} · {_machine.described()} · "
            f"load {self._load_before:.1f} before, {_machine.load():.1f} after{_machine.circumstances()}"
        )
        return "\n\n".join([f"## {self.title}", *self._parts, made]) + "\n"


def arguments(description: str | None, **defaults: int) -> argparse.Namespace:
    """The command line of a bench: `--markdown FILE`, and a number for each of `defaults`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the section into FILE as well")
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value, metavar="N", help=f"{value} unless told")
    return parser.parse_args()


def keep(path: Path, *, title: str, section: str, brief: Table) -> None:
    """Put a section and its brief rows into a file of sections, in place of those of the same name."""
    text = path.read_text("utf-8") if path.exists() else HEADING
    before, *parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    sections = {part.partition("\n")[0]: part.rstrip() + "\n" for part in parts}
    known = sections.pop(f"## {BRIEF}", None)
    sections[f"## {title}"] = section
    table = merged(Table.parse(known) if known else Table(brief.head), brief)
    short = f"## {BRIEF}\n\n{table}\n"
    path.write_text("\n".join([before.rstrip() + "\n", short, *sections.values()]), "utf-8")


def merged(known: Table, new: Table) -> Table:
    """`known` with the rows of `new`, each in place of the one with the same words."""
    rows = {cells[0]: cells for cells in [*known.rows, *new.rows]}
    return Table(new.head, list(rows.values()))


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    sys.stderr.write(text + "\n")


def _module() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec is not None else sys.argv[0]


def _words_told() -> list[str]:
    """The command line, but for where the result is kept."""
    told = iter(sys.argv[1:])
    return [word for word in told if not (word == "--markdown" and next(told, None) is not None)]

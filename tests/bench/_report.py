"""A bench's answer: Markdown that can stand in README as it is, printed, and kept in a file where one is named.

`--markdown FILE` puts the bench's section into FILE, in place of the one that an earlier run left there; other
sections stay.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import _machine

HEADING = """# Benchmarks

Made by `python locker.py bench`; each section says with which command, where, when and of which commit. Every bench
runs the peer beside Locker in the same run, in turns. A figure in brackets, or “from … to”, shows how far the rounds
lay apart: another program on the machine shows there.
"""


@dataclass
class Table:
    """Rows under a head; the first column reads to the right, figures to the left."""

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


class Report:
    """One section: what was measured, its tables, and what is to be known of them."""

    def __init__(self, title: str, *, description: str) -> None:
        self.title = title
        self._parts: list[str] = [description]
        self._load_before = _machine.load()

    def add(self, part: Table | str) -> None:
        """One more table, or a paragraph."""
        self._parts.append(str(part))

    def publish(self, arguments: argparse.Namespace) -> None:
        """Print the section, and put it into the file that was named."""
        text = self._text()
        sys.stdout.write(text + "\n")
        if arguments.markdown is not None:
            keep(arguments.markdown, title=self.title, section=text)

    def _text(self) -> str:
        command = " ".join(["python -m", _module(), *_arguments_told()])
        made = (
            f"`{command}` · {_machine.today()} · commit {_machine.commit()} · {_machine.described()} · "
            f"load {self._load_before:.1f} before, {_machine.load():.1f} after"
        )
        return "\n\n".join([f"## {self.title}", *self._parts, made]) + "\n"


def arguments(description: str | None, **defaults: int) -> argparse.Namespace:
    """The command line of a bench: `--markdown FILE`, and a number for each of `defaults`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the section into FILE as well")
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value, metavar="N", help=f"{value} unless told")
    return parser.parse_args()


def keep(path: Path, *, title: str, section: str) -> None:
    """Put a section into a file of sections, in place of the one with its title, otherwise at the end."""
    text = path.read_text("utf-8") if path.exists() else HEADING
    before, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    named = {part.partition("\n")[0]: part.rstrip() + "\n" for part in sections}
    named[f"## {title}"] = section
    path.write_text("\n".join([before.rstrip() + "\n", *named.values()]), "utf-8")


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    sys.stderr.write(text + "\n")


def _module() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec is not None else sys.argv[0]


def _arguments_told() -> list[str]:
    told = iter(sys.argv[1:])
    return [word for word in told if not (word == "--markdown" and next(told, None) is not None)]

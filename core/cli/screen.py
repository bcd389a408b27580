"""What commands print: tables and sentences for a person, JSON for a script."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

PIPE_WIDTH = 400
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def plain(text: object) -> str:
    """The text with everything a terminal would obey, rather than show, replaced: titles and logs are not ours."""
    return "".join(c if c.isprintable() or c == "\t" else REPLACEMENT for c in str(text))


def ended(sentence: str) -> str:
    """The sentence with its full stop: what other rooms say may go on, and has none.

    >>> ended("there is no service 'x'"), ended("Is it there?")
    ("there is no service 'x'.", 'Is it there?')
    """
    return sentence if sentence.endswith((".", "!", "?", "…", ":")) else f"{sentence}."


def moment(epoch_s: float) -> str:
    """A time as this machine's clock shows it, to the minute; what lies outside the calendar has no name."""
    try:
        return datetime.fromtimestamp(epoch_s, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "an unknown time"


def say(sentence: str) -> None:
    """A line on standard output, at once."""
    click.echo(sentence)


def warn(sentence: str) -> None:
    """A line on standard error, where it does not disturb what a script reads."""
    click.secho(sentence, err=True, fg="yellow")


def show_json(value: Any) -> None:
    """One JSON document."""
    say(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Rows under their headings, or the sentence that says there are none."""
    if not rows:
        say(empty)
        return
    # Only who reads a table pays for what draws it.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else plain(cell)) for cell in row))
    # A pipe has no width: nothing may be cut off there.
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False).print(table)

"""What is shown while packages are installed."""

from __future__ import annotations

import io

import pytest

from core.environment import Progress
from core.environment.progress import CLEAR_LINE


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_plain_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or a pipe gets whole lines."""
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    progress = Progress(stream)
    progress.step(1, 12, "flask 3")
    progress.step(12, 12, "rich 15")
    progress.say("Done.")

    assert "[ 1/12] flask 3\n[12/12] rich 15\nDone.\n" == stream.getvalue()


def test_one_calm_line_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps take each other's place, cut to the terminal's width; a sentence stays."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    progress = Progress(stream)
    progress.step(1, 2, "a-package-with-a-long-name 3.1.4")
    progress.step(2, 2, "rich 15")
    progress.say("Done.")

    assert f"{CLEAR_LINE}[1/2] a-package-wit{CLEAR_LINE}[2/2] rich 15{CLEAR_LINE}Done.\n" == stream.getvalue()


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """No control characters where they would be shown as such."""
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    Progress(stream).step(1, 1, "flask 3")

    assert "[1/1] flask 3\n" == stream.getvalue()

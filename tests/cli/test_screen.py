"""What a terminal shows of texts that are not ours."""

from __future__ import annotations

import pytest

from core.cli.screen import PIPE_WIDTH, plain, show_table


def test_control_characters_are_shown_not_obeyed() -> None:
    """A title cannot colour, clear or retitle the owner's terminal."""
    assert "\ufffd[31mred\ufffd bell\tkept ü" == plain("\x1b[31mred\x07 bell\tkept ü")


def test_a_pipe_gets_whole_cells(capsys: pytest.CaptureFixture[str]) -> None:
    """What a script reads is not cut to some width, and markup in a cell is text."""
    show_table(("name", "text"), [("a", "x" * (PIPE_WIDTH // 2)), ("b", "[bold]y")], empty="None.")
    lines = capsys.readouterr().out.splitlines()

    assert "name" == lines[0].split()[0]
    assert "x" * (PIPE_WIDTH // 2) in lines[1]
    assert "[bold]y" in lines[2]


def test_an_empty_table_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """Headings over nothing tell nobody anything."""
    show_table(("name",), [], empty="There are none.")

    assert "There are none.\n" == capsys.readouterr().out

"""logs: the end of a file, what follows, and rotation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.cli import exits
from core.cli.logs import LINE_CHARS_MAX, last_lines, new_lines
from tests.cli.conftest import Locker


@pytest.fixture
def log(me: Path) -> Path:
    """A log of three lines, one with a colour in it."""
    path = me / "logs" / "feeds.log"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one\n\x1b[31mtwo\nthree \xff\n")
    return path


def test_logs_show_the_end(locker: Locker, log: Path) -> None:
    """So many lines, harmless, whatever bytes were written."""
    assert "\ufffd[31mtwo\nthree \ufffd\n" == locker("logs", "feeds", "-n", "2").out
    assert 3 == len(locker("logs", "feeds").out.splitlines())


def append(path: Path, text: str) -> None:
    """Write as a running service does."""
    with path.open("a") as file:
        file.write(text)


@pytest.mark.parametrize("name", ["other", "../feeds", "/etc/passwd", "core"])
def test_no_file_but_a_log_is_opened(locker: Locker, log: Path, name: str) -> None:
    """Nothing but a service's log, or the core's, is ever opened."""
    assert exits.REFUSED == locker("logs", name).code


def test_a_service_that_never_wrote_is_told_so(locker: Locker, me: Path) -> None:
    """It is there; how it is can be seen elsewhere."""
    (me / "notes").mkdir(parents=True)
    done = locker("logs", "notes")

    assert exits.REFUSED == done.code
    assert ["notes has written no log yet.", "How it is, tells: python3 locker.py status"] == done.err.splitlines()


def test_following_goes_on_through_rotation(log: Path) -> None:
    """Lines written after the start come, also those in the file that took the first one's place."""
    rotated = log.with_suffix(".log.1")
    steps: list[Callable[[], object]] = [
        lambda: append(log, "four\n"),
        lambda: append(log.rename(rotated), "five\n"),
        lambda: log.write_text("six\n"),
        lambda: None,
    ]
    lines = new_lines(log, wait=lambda: steps.pop(0)() if steps else pytest.fail("nothing came"))

    assert ["four", "five", "six"] == [next(lines) for _ in range(3)]
    lines.close()


@pytest.mark.parametrize(("length", "parts"), [(LINE_CHARS_MAX - 1, 1), (LINE_CHARS_MAX, 2)])
def test_a_line_without_end_is_cut(tmp_path: Path, length: int, parts: int) -> None:
    """A log of one endless line is shown in bounded pieces."""
    path = tmp_path / "x.log"
    path.write_text("x" * length + "\n")

    assert parts == len(last_lines(path, 10))

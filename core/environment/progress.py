"""What the owner sees while packages are installed: one calm line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
from typing import TextIO

CLEAR_LINE = "\r\x1b[2K"


class Progress:
    """Tells of steps by number and of results in sentences; a terminal shows the present step only."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_live = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._is_step_shown = False

    def say(self, sentence: str) -> None:
        """A line that stays."""
        self.clear()
        self._write(sentence + "\n")

    def step(self, number: int, total: int, what: str) -> None:
        """Step `number` of `total` begins."""
        line = f"[{number:>{len(str(total))}}/{total}] {what}"
        if not self._is_live:
            self._write(line + "\n")
            return
        self._write(CLEAR_LINE + line[: shutil.get_terminal_size().columns - 1])
        self._is_step_shown = True

    def clear(self) -> None:
        """Take the present step off the screen."""
        if self._is_step_shown:
            self._write(CLEAR_LINE)
        self._is_step_shown = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

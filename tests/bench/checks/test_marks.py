"""Moments that outlive the process that noted them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.bench._marks import VARIABLE, Shelf
from tests.fakes.house import ROOT

NOTES = "from tests.bench import _marks; shelf = _marks.shelf_of('child'); shelf.put('>work'); shelf.put('<work')"


def test_marks_of_another_process(tmp_path: Path) -> None:
    """Two processes one after the other add to one shelf, in order."""
    shelf = Shelf(tmp_path, "child")
    for _ in range(2):
        subprocess.run([sys.executable, "-c", NOTES], cwd=ROOT, env={**os.environ, VARIABLE: str(tmp_path)}, check=True)
    marks = shelf.read()

    assert [">work", "<work"] * 2 == [mark.name for mark in marks]
    assert sorted(mark.at_s for mark in marks) == [mark.at_s for mark in marks]

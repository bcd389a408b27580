"""What the benches write: Markdown that is kept section by section."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench._report import Table, brief, keep


def _rows(*rows: tuple[str, str]) -> Table:
    table = brief()
    for what, ours in rows:
        table.add(what, ours, "", "")
    return table


def test_table_is_markdown_and_reads_back() -> None:
    """What was written can be read again."""
    table = Table(["what", "ms"])
    table.add("cold", "17.0")

    assert "| what | ms |\n| --- | ---: |\n| cold | 17.0 |" == str(table)
    assert [["cold", "17.0"]] == Table.parse(f"Words.\n\n{table}\n\nMore words.").rows


def test_row_must_fit_the_head() -> None:
    """A cell too many is a fault of the bench."""
    with pytest.raises(ValueError, match="2 cells under a head of 1"):
        Table(["what"]).add("cold", "17.0")


def test_sections_and_rows_are_replaced_where_they_stand(tmp_path: Path) -> None:
    """A bench run again replaces its own section and rows, and nothing else."""
    path = tmp_path / "benchmarks.md"
    keep(path, title="Cold", section="## Cold\n\n17 ms\n", brief=_rows(("cold", "17")))
    keep(path, title="Warm", section="## Warm\n\n0.2 ms\n", brief=_rows(("warm", "0.2")))
    keep(path, title="Cold", section="## Cold\n\n16 ms\n", brief=_rows(("cold", "16")))
    text = path.read_text("utf-8")

    assert ["## In short", "## Cold", "## Warm"] == [line for line in text.splitlines() if line.startswith("## ")]
    assert [["cold", "16", "", ""], ["warm", "0.2", "", ""]] == Table.parse(text).rows
    assert "17 ms" not in text
    assert text.startswith("# Benchmarks\n")

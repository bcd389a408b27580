"""docs/store.md describes the tables that are there, each column of them, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import apsw

from core.store import Store

PAGE = Path(__file__).parents[2] / "docs" / "store.md"


def test_every_column_is_described_and_no_other(store: Store) -> None:
    """The schema of a real store against the page."""
    db = apsw.Connection(str(store.path), flags=apsw.SQLITE_OPEN_READONLY)
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    columns = {name: {row[1] for row in db.execute(f"PRAGMA table_info({name})")} for name in tables}
    db.close()
    ours = {name: said for name, said in columns.items() if not name.startswith(("sqlite_", "text"))}

    assert ours == _described(PAGE.read_text().partition("## Promises")[0])


def _described(text: str) -> dict[str, set[str]]:
    """Tables with a section of their own list a column a row; the small ones list all theirs in the last cell."""
    found: dict[str, set[str]] = {}
    for name, section in re.findall(r"^`(\w+)`: one row is (?:.+\n)+\n((?:\|.*\n)+)", text, flags=re.M):
        cells = [line.split("|")[1] for line in section.splitlines()[2:]]
        found[name] = {column for cell in cells for column in re.findall(r"`(\w+)`", cell)}
    for name, cell in re.findall(
        r"^\| `(\w+)` \| (?:a|an|where|one|who|something|the) [^|]* \| (.*) \|$", text, flags=re.M
    ):
        found[name] = set(re.findall(r"`(\w+)`", cell.partition(":")[0]))
    return found

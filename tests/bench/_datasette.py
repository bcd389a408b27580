"""Datasette over a file that holds the same records: today's state, with the same indexes and words, and every version.

It is asked as quickly as it can answer: no count, no facets, no suggestions.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sqlite_utils

from core.model.fact import JsonObject
from tests.bench._sides import await_answer, free_port
from tests.bench._wire import Place

QUICKLY = "_nocount=1&_nofacet=1&_nosuggest=1&_shape=objects"
FOR_EVER = 2**62
_COLUMNS = {
    "id": int, "name": str, "description": str, "language": str, "stars": int, "fork": bool, "pushed_at": str,
}  # fmt: skip


class Tables:
    """The file, while it is filled."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite_utils.Database(path)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db["repo"].create(_COLUMNS, pk="id")
        self._db["version"].create({**_COLUMNS, "seq": int, "until_seq": int}, pk=("id", "seq"))
        self._seq = 0

    def put(self, records: Iterable[JsonObject]) -> None:
        """Add versions of records, in order; each is its record's state from then on."""
        for record in records:
            self._seq += 1
            self._end(record["id"])
            self._insert("version", {**record, "seq": self._seq, "until_seq": FOR_EVER})
            self._insert("repo", record, "OR REPLACE")

    def delete(self, ids: Iterable[int]) -> None:
        """Let records go, their versions staying."""
        for key in ids:
            self._seq += 1
            self._end(key)
            self._db.execute("DELETE FROM repo WHERE id = ?", (key,))

    def close(self) -> None:
        """Index everything."""
        repo, version = self._db["repo"], self._db["version"]
        repo.create_index(["language"])
        repo.create_index(["pushed_at"])
        version.create_index(["pushed_at"])
        repo.enable_fts(["name", "description"])
        self._db.conn.commit()
        self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.conn.close()

    def _end(self, key: int) -> None:
        self._db.execute("UPDATE version SET until_seq = ? WHERE id = ? AND until_seq = ?", (self._seq, key, FOR_EVER))

    def _insert(self, table: str, row: dict[str, Any], conflict: str = "") -> None:
        marks = ", ".join("?" * len(row))
        self._db.execute(f"INSERT {conflict} INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


class Datasette:
    """`datasette serve`, listening."""

    def __init__(self, path: Path) -> None:
        port = free_port()
        self._process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("datasette")), "serve", str(path), "--host", "127.0.0.1",
                "--port", str(port), "--setting", "suggest_facets", "off", "--setting", "sql_time_limit_ms", "60000",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.place = Place(port, f"/{path.stem}")
        await_answer(Place(port), "Datasette")

    def __enter__(self) -> Datasette:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def sqlite_version() -> str:
    """The SQLite that Datasette runs on."""
    return sqlite3.sqlite_version

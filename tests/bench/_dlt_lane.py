"""`dlt`: a pipeline into SQLite, each run a load package of all its rows."""

from __future__ import annotations

import os
import sqlite3
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dlt

from core.model.fact import JsonObject

MERGE = {"disposition": "merge", "strategy": "delete-insert"}
HISTORY = {"disposition": "merge", "strategy": "scd2"}
_QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}


class Dlt:
    """A pipeline that merges by `id`, or with `HISTORY` keeps each version with the times of its validity."""

    def __init__(self, folder: Path, disposition: dict[str, Any]) -> None:
        os.environ.update(_QUIET)
        self._file = folder / "dlt.db"
        self._disposition = disposition
        self._pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=str(folder / "pipelines"),
            destination=dlt.destinations.sqlalchemy(f"sqlite:///{self._file}"),
            dataset_name="main",
        )

    def put(self, batch: Sequence[JsonObject]) -> None:
        """Run the pipeline with these rows."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._pipeline.run(batch, table_name="repo", write_disposition=self._disposition, primary_key="id")

    @property
    def count(self) -> int:
        """How many rows there are."""
        with sqlite3.connect(self._file) as db:
            found = db.execute("SELECT count(*) FROM repo").fetchone()
        db.close()
        return int(found[0])

    def close(self) -> None:
        """Let go of it."""
        self._pipeline.drop()

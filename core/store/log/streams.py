"""What the store keeps for each stream: where it resumes, and how its runs went."""

from __future__ import annotations

from types import NoneType
from typing import Any

import apsw
import msgspec

from core.model.canonical import canonical_json
from core.model.errors import BadRecord, BadRequest
from core.model.fact import JsonObject
from core.store.log.beginnings import mark_name
from core.store.values import Run

CURSOR_LETTERS_MAX = 1024 * 1024
PROBLEM_LETTERS_MAX = 64 * 1024
RUNS_MAX = 10_000
NAME_LETTERS_MAX = 128

CURSOR = "SELECT value FROM cursor WHERE stream = ?"
_SET_CURSOR = """
    INSERT INTO cursor (stream, value, changed_at) VALUES (?, ?, ?)
    ON CONFLICT (stream) DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at
"""
_DROP_CURSOR = "DELETE FROM cursor WHERE stream = ?"
_DROP_MARK = "DELETE FROM cursor WHERE stream = ? AND instr(value, ?)"

_RUN_COLUMNS = "id, stream, started_at, ended_at, status, new, updated, same, deleted, quarantined, problem"
RUNS = f"SELECT {_RUN_COLUMNS} FROM run ORDER BY position DESC LIMIT ?"
RUNS_OF_STREAM = f"SELECT {_RUN_COLUMNS} FROM run WHERE stream = ? ORDER BY position DESC LIMIT ?"
ALL_RUNS = f"SELECT {_RUN_COLUMNS}, position FROM run WHERE position > ? ORDER BY position LIMIT ?"
_RUN_SHAPE: tuple[Any, ...] = (str, str, float, float, str, int, int, int, int, int, (str, NoneType))
_PUT_RUN = f"""
    INSERT INTO run ({_RUN_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET stream = excluded.stream, started_at = excluded.started_at,
        ended_at = excluded.ended_at, status = excluded.status, new = excluded.new, updated = excluded.updated,
        same = excluded.same, deleted = excluded.deleted, quarantined = excluded.quarantined,
        problem = excluded.problem
"""
_TRIM_RUNS = "DELETE FROM run WHERE position <= (SELECT max(position) FROM run) - ?"

_decode_problem = msgspec.json.Decoder(JsonObject).decode


def cursor_text(stream: str, value: Any) -> tuple[str, str | None]:
    """A cursor as it is stored, None for none; raises BadRequest unless it is JSON within its bound."""
    if not isinstance(stream, str) or not 1 <= len(stream) <= NAME_LETTERS_MAX or not stream.isprintable():
        raise BadRequest("a stream's name is printable text of at most 128 letters")
    if value is None:
        return stream, None
    try:
        canonical_json(value)
    except BadRecord as err:
        raise BadRequest(f"the cursor of {stream} is not JSON: {err}") from err
    text = msgspec.json.encode(value).decode()
    if len(text) > CURSOR_LETTERS_MAX:
        raise BadRequest(f"the cursor of {stream} has {len(text)} letters, allowed are {CURSOR_LETTERS_MAX}")
    return stream, text


def put_cursor(db: apsw.Connection, stream: str, text: str | None, *, now: float) -> None:
    """Set the cursor of `stream`, or drop it, within the caller's transaction."""
    if text is None:
        db.execute(_DROP_CURSOR, (stream,))
    else:
        db.execute(_SET_CURSOR, (stream, text, now))


def run_row(run: Run) -> tuple[Any, ...]:
    """A run as it is stored; raises BadRequest where its problem exceeds its bound."""
    problem = None if run.problem is None else msgspec.json.encode(run.problem).decode()
    if problem is not None and len(problem) > PROBLEM_LETTERS_MAX:
        raise BadRequest(f"the problem of a run of {run.stream} has {len(problem)} letters, too many to keep")
    return (
        run.id, run.stream, run.started_at, run.ended_at, run.status,
        run.new, run.updated, run.same, run.deleted, run.quarantined, problem,
    )  # fmt: skip


def put_run(db: apsw.Connection, row: tuple[Any, ...], *, rows_max: int = RUNS_MAX) -> None:
    """Keep a run, once per id, and drop the oldest above the bound, within the caller's transaction."""
    db.execute(_PUT_RUN, row)
    db.execute(_DROP_MARK, (mark_name(row[1]), row[0]))  # It ended: from now on its row alone tells of it.
    db.execute(_TRIM_RUNS, (rows_max,))


def run_of(row: tuple[Any, ...]) -> Run:
    """The run in a row of `RUNS`; raises ValueError for one that no store of ours wrote."""
    if not all(map(isinstance, row, _RUN_SHAPE)):
        raise ValueError("a run's column has a type it cannot have")
    return Run(
        id=row[0],
        stream=row[1],
        started_at=row[2],
        ended_at=row[3],
        status=row[4],
        new=row[5],
        updated=row[6],
        same=row[7],
        deleted=row[8],
        quarantined=row[9],
        problem=None if row[10] is None else _decode_problem(row[10]),
    )

"""The digest of a row: it notices a change in any column, and costs next to nothing."""

from __future__ import annotations

from typing import Any

import apsw
import pytest

from core.store.log.digest import ROW_DIGEST_BYTES, digest_of, row_digest

ROW: tuple[Any, ...] = (
    7, b"i" * 16, "note", "a", 0, '{"n":1}', None, b"h" * 32, None, None, 1.5,
    1, '{"by":"x"}', None, "device/uid", 1, None, None, 0, None, 1700000000.25,
)  # fmt: skip
OTHER: tuple[Any, ...] = (
    8, "i" * 16, "notes", "b", 1, '{"n": 1}', "{}", b"g" * 32, b"c" * 16, 2.0, None,
    2, None, "{}", "device/uid2", 2, 7, 1700000000.25, 1, 0, 1700000000.5,
)  # fmt: skip


def test_row_digest_covers_every_column() -> None:
    """A row that differs in any one column has another digest."""
    plain = row_digest(*ROW)

    assert ROW_DIGEST_BYTES == len(plain)
    for place, other in enumerate(OTHER):
        assert plain != row_digest(*ROW[:place], other, *ROW[place + 1 :])


def test_neighbouring_columns_are_kept_apart() -> None:
    """What moves from one column to the next changes the digest."""
    moved = (*ROW[:2], "not", "ea", *ROW[4:])

    assert row_digest(*ROW) != row_digest(*moved)


def test_digest_of_a_row_is_row_digest() -> None:
    """Both ways to ask give the same."""
    assert row_digest(*ROW) == digest_of(ROW)


@pytest.mark.parametrize("time", [0.0, -0.0, 5, 0, 5.0, -5.0, 1700000000.0, 1700000000.123456, 1e300, 5e-324, 2.0**53])
def test_times_come_back_from_the_database_as_they_were_digested(time: float) -> None:
    """SQLite keeps whole numbers in a REAL column as integers inside: they are floats again when read."""
    db = apsw.Connection(":memory:")
    db.execute("CREATE TABLE t (at REAL) STRICT")
    db.execute("INSERT INTO t VALUES (?)", (time,))
    (read,) = db.execute("SELECT at FROM t").fetchone()  # type: ignore[misc]
    db.close()

    for place in (9, 10, 17):
        assert row_digest(*ROW[:place], time, *ROW[place + 1 :]) == digest_of((*ROW[:place], read, *ROW[place + 1 :]))

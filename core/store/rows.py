"""How a store is asked: one statement and its parameters, answered with rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Row = tuple[Any, ...]
Rows = Callable[[str, Row], list[Row]]


class BoundedRows(Protocol):
    """As `Rows`, for answers that may be large."""

    def __call__(self, statement: str, parameters: Row = (), *, bytes_max: int | None = None) -> list[Row]:
        """The rows, at most until they weigh `bytes_max`."""


def weight(row: Row) -> int:
    """How many letters and bytes its texts and blobs have."""
    return sum(len(column) for column in row if type(column) is str or type(column) is bytes)

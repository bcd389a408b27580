"""A store with the smallest pages there are, so that each of its bits can be tried."""

from __future__ import annotations

from pathlib import Path

import apsw

SMALL_PAGE_BYTES = 512


def with_small_pages(folder: Path) -> Path:
    """The folder, with an empty database of small pages in it: the store that is opened there keeps them."""
    db = apsw.Connection(str(folder / "store.db"))
    try:
        db.pragma("page_size", SMALL_PAGE_BYTES)
        db.execute("CREATE TABLE once (n); DROP TABLE once")
    finally:
        db.close()
    return folder

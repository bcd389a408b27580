"""A service's store, opened while the child goes on with its start.

Taking the writer's lock and readying the database means waiting for the disk. Whoever only reads need not wait for
that: a store that is there already is read by a connection of its own until the writer's is open.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from core.model.errors import Broken, LockerError
from core.store import Reader, Store

OPEN_S = 30.0

log = logging.getLogger(__name__)


class Stores(Protocol):
    """Where a service's records are."""

    @property
    def store(self) -> Store:
        """The writer, waited for; raises what kept it from opening."""

    @property
    def reads(self) -> Store | Reader:
        """What can be read from now."""


class Opened:
    """A store that is open already."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.reads: Store | Reader = store


class Opening:
    """Opens a store on a thread of its own; `failed` is told, once, when that cannot be done."""

    def __init__(self, open_store: Callable[[], Store], reader: Reader, *, failed: Callable[[Exception], None]) -> None:
        self._open_store = open_store
        self._reader = reader
        self._failed = failed
        self._done = threading.Event()
        self._store: Store | None = None
        self._error: Exception | None = None
        self._is_readable = False
        self._thread = threading.Thread(target=self._open, name="opening", daemon=True)
        self._thread.start()

    @property
    def store(self) -> Store:
        """The writer, waited for; raises what kept it from opening."""
        if not self._done.wait(OPEN_S):
            raise Broken(f"the store could not be opened within {OPEN_S:g} s")
        if self._store is None:
            raise Broken("the store could not be opened") from self._error
        return self._store

    @property
    def reads(self) -> Store | Reader:
        """The writer once it is open, a reader before; where there is no store yet the writer is waited for."""
        if self._done.is_set() or not self._can_read():
            return self.store
        return self._reader

    def close(self) -> None:
        """Close whatever was opened; nothing is read or written after it."""
        self._thread.join(OPEN_S)
        if self._store is not None:
            self._store.close()
        self._reader.close()

    def _can_read(self) -> bool:
        if not self._is_readable:
            with contextlib.suppress(LockerError):
                self._is_readable = bool(self._reader.epoch())
        return self._is_readable

    def _open(self) -> None:
        try:
            self._store = self._open_store()
        except Exception as err:
            # The edge of a thread: the child cannot live without its store, and says why.
            self._error = err
            self._failed(err)
        finally:
            self._done.set()

"""What a person changed, in one readable JSON file: TinyDB over a storage that a crash cannot tear."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from tinydb import TinyDB
from tinydb.queries import QueryLike
from tinydb.storages import Storage
from tinydb.table import Document, Table

from core.model.clock import Clock
from core.model.errors import BodyTooLarge, FileDamaged, FolderUnusable, StorageFull
from core.store.durable import FILE_MODE, NO_FOLLOW, flush_folder, move_into_place

log = logging.getLogger(__name__)

Tables = dict[str, dict[str, Any]]

BYTES_MAX = 64 * 1024 * 1024
EDITS_KEPT_MAX = 10
TOLD_BYTES_MAX = 4096

_READ = os.O_RDONLY | os.O_CLOEXEC | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | NO_FOLLOW

_decode = msgspec.json.Decoder(dict[str, dict[str, dict[str, Any]]]).decode


class Documents:
    """Tables of documents in the file at `path`, one process at a time.

    Each call on a table is atomic and durable when it returns, from any thread; hold `lock` over several calls that
    belong together. `notice` is set where the file was damaged: it is kept beside, and its backup used; and where it
    was edited while it was open: the edit is kept beside, and takes no effect.
    Close it, or the next start takes an edit made afterwards for one made while it was open.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._storage = AtomicStorage(path, clock)
        self._database = _Database(storage=lambda: self._storage)
        self.lock = self._storage.lock

    @property
    def notice(self) -> FileDamaged | None:
        """What the owner must be told about the file since it was opened."""
        return self._storage.notice

    def close(self) -> None:
        """Let go of the file, with what was written last in it."""
        self._database.close()

    def table(self, name: str) -> Table:
        """The table `name`, empty before its first document."""
        with self.lock:
            return self._database.table(name, cache_size=0)


class AtomicStorage(Storage):
    """One JSON file, replaced whole at each change: temporary file, flush, rename, flush of the folder.

    The version before stays beside it as `<name>.bak`, and an edit made in the meantime as `<name>.edited-<time>`.
    Until it is closed, `<name>.last` holds what it wrote last: so what an edit replaced is known after a crash too.
    Raises FolderUnusable where `path` is a link.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.lock = threading.RLock()
        self.notice: FileDamaged | None = None
        self._path = path
        self._backup = path.with_name(f"{path.name}.bak")
        self._last = path.with_name(f"{path.name}.last")
        self._told = path.with_name(f"{path.name}.told")
        self._clock = clock
        self._text: bytes | None = None
        self._damage = ""
        self._open()

    def read(self) -> Tables | None:
        """A copy of what is stored: what a caller does to it is no change until it is written."""
        return None if self._text is None else _decode(self._text)

    def write(self, data: Tables) -> None:
        """Replace everything; raises StorageFull or BodyTooLarge, and then the state before stands."""
        text = json.dumps(_sorted(data), indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        if len(text) > BYTES_MAX:
            raise BodyTooLarge(f"{self._path} would have {len(text)} bytes, allowed are {BYTES_MAX}")
        with self.lock:
            try:
                self._replace(text)
            except OSError as err:
                # It may have its name all the same; whatever else stands there is no version of ours.
                if _content(self._path) == text:
                    self._text = text
                else:
                    self._take_back()
                if err.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise StorageFull(f"no room to write {self._path}") from err
                raise FolderUnusable(f"{self._path} cannot be written: {err.strerror}") from err

    def close(self) -> None:
        """Make sure that the file holds what was written last; an edit is kept beside, and told at the next start."""
        with self.lock:
            try:
                if self._last.exists() and _content(self._path) != self._text:
                    self._restore()
                    if self.notice is not None:
                        _put(self._told, self.notice.detail.encode()[:TOLD_BYTES_MAX])
                self._last.unlink(missing_ok=True)
                flush_folder(self._path.parent)
            except (OSError, FolderUnusable) as err:
                # What was written last stands beside, so the next start finds it.
                log.error("documents file not closed path=%s problem=%s", self._path, err)

    def _replace(self, text: bytes) -> None:
        unfinished = _unfinished(self._path)
        _write_flushed(unfinished, text)
        present = _content(self._path)
        # The backup first, and an edit keeps its place until it is replaced: a crash in between loses neither.
        if self._text is not None:
            _put(self._backup, self._text)
        if present != self._text and present is not None:
            self._keep_edit()
        _put(self._last, text)
        move_into_place(unfinished, self._path)
        self._text = text

    def _take_back(self) -> None:
        """A change that failed must not be found at the next start; where there is no room, no text is safe too."""
        with contextlib.suppress(OSError):
            self._last.unlink(missing_ok=True)
            if self._text is not None:
                _put(self._last, self._text)

    def _keep_edit(self) -> None:
        """Give an edit made by hand a second name; of those kept before, the oldest go."""
        aside = self._beside("edited")
        os.link(self._path, aside)
        flush_folder(aside.parent)
        what = f"{self._path} was edited while Locker was running; the edit took no effect and is kept as {aside.name}"
        self._tell_of_edit(what)
        log.error("documents file edited while open path=%s notice=%s", self._path, what)
        edits = sorted(self._path.parent.glob(f"{self._path.name}.edited-*"), key=lambda edit: edit.lstat().st_ctime_ns)
        for edit in edits[:-EDITS_KEPT_MAX]:
            if edit != aside:
                edit.unlink(missing_ok=True)

    def _tell_of_edit(self, what: str) -> None:
        self.notice = FileDamaged(
            f"{self._damage}. {what}" if self._damage else what,
            remedy="Stop Locker before you edit the file; then make the edit again.",
        )

    def _restore(self) -> None:
        """Put what was written last where something else stands, or nothing."""
        assert self._text is not None
        if self._path.exists():
            self._keep_edit()
        _put(self._path, self._text)

    def _open(self) -> None:
        if self._path.is_symlink():
            raise FolderUnusable(f"{self._path} is a link", remedy="Put the file itself in its place.")
        text, last = _content(self._path), _content(self._last)
        if last is not None and not _is_good(last):
            last = None
        if last is not None and text == _content(self._backup):
            # The last change was cut short: before it the file was as the backup, or there was neither.
            self._text = last
            _put(self._path, last)
        elif text is None or not _is_good(text):
            self._repair(text, last)
        elif last is None or text == last:
            self._text = text
        else:
            self._text = last
            self._restore()
        self._hear()

    def _hear(self) -> None:
        """Take up what is to be told of an edit that was set aside when the file was closed."""
        told = _content(self._told)
        if told is not None:
            if self.notice is None and told:
                self._tell_of_edit(told[:TOLD_BYTES_MAX].decode("utf-8", "replace"))
            self._told.unlink(missing_ok=True)

    def _repair(self, text: bytes | None, last: bytes | None) -> None:
        backup = _content(self._backup)
        if text is None and last is None and backup is None:
            return
        what = f"{self._path} is missing" if text is None else f"{self._path} is damaged, kept as {self._set_aside()}"
        if last is not None:
            self._text = last
            self._restore()
            what += "; what was written last is used"
        elif backup is not None and _is_good(backup):
            self._replace(backup)
            what += "; the version before its last change is used"
        else:
            what += "; it starts empty"
        self._damage = what
        self.notice = FileDamaged(what)
        log.error("documents file repaired path=%s notice=%s", self._path, what)

    def _set_aside(self) -> str:
        """Rename the damaged file, never over another, and return its new name."""
        target = self._beside("damaged")
        self._path.rename(target)
        flush_folder(target.parent)
        return target.name

    def _beside(self, state: str) -> Path:
        """A name beside the file that nothing bears."""
        moment = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
        target = self._path.with_name(f"{self._path.name}.{state}-{moment}")
        number = 1
        while target.exists():
            number += 1
            target = self._path.with_name(f"{self._path.name}.{state}-{moment}-{number}")
        return target


class _LockedTable(Table):
    """A table that several threads may use: whatever reads and then writes does so under the storage's lock."""

    _storage: AtomicStorage

    def insert(self, document: Mapping[str, Any]) -> int:
        with self._storage.lock:
            return super().insert(document)

    def insert_multiple(self, documents: Iterable[Mapping[str, Any]]) -> list[int]:
        with self._storage.lock:
            return super().insert_multiple(documents)

    def upsert(self, document: Mapping[str, Any], cond: QueryLike | None = None) -> list[int]:
        with self._storage.lock:
            return super().upsert(document, cond)

    def search(self, cond: QueryLike) -> list[Document]:
        with self._storage.lock:
            return super().search(cond)

    def _read_table(self) -> dict[str, Mapping[str, Any]]:
        with self._storage.lock:
            return super()._read_table()

    def _update_table(self, updater: Callable[[dict[int, Mapping[str, Any]]], None]) -> None:
        with self._storage.lock:
            super()._update_table(updater)


class _Database(TinyDB):
    table_class = _LockedTable


def _content(path: Path) -> bytes | None:
    """What the file holds, None where there is none; what is no regular file or too large reads as damaged."""
    try:
        handle = os.open(path, _READ)
    except FileNotFoundError:
        return None
    except OSError as err:
        raise FolderUnusable(f"{path} cannot be read: {err.strerror}") from err
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return b""
        text = file.read(BYTES_MAX + 1)
    return text if len(text) <= BYTES_MAX else b""


def _is_good(text: bytes) -> bool:
    try:
        _decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def _put(path: Path, text: bytes) -> None:
    """A file of its own, whole or not at all: no other name of the version before is written to."""
    unfinished = _unfinished(path)
    unfinished.unlink(missing_ok=True)
    _write_flushed(unfinished, text)
    move_into_place(unfinished, path)


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{path.name}.tmp")


def _write_flushed(path: Path, text: bytes) -> None:
    handle = os.open(path, _WRITE, FILE_MODE)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sorted(data: Tables) -> Tables:
    """Tables by name, documents by number, their fields by name: two versions can be compared by eye."""
    return {
        name: {number: _by_name(documents[number]) for number in sorted(documents, key=lambda text: (len(text), text))}
        for name, documents in sorted(data.items())
    }


def _by_name(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _by_name(value[name]) for name in sorted(value)}
    return [_by_name(item) for item in value] if isinstance(value, (list, tuple)) else value

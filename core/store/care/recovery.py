"""Opening a store that was not closed properly: what is torn is dropped and told, what is damaged waits for the owner.

The looking is done by a helper process (`salvage.py`), as nobody may open a database's file in a process that
has a connection to it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import msgspec

from core.model import errors
from core.model.clock import Clock
from core.model.errors import Broken, FileDamaged, LockerError, NotFound
from core.store.care.findings import INSPECT, MARKER, MEND, QUARANTINE, REPAIR, SALVAGED, Findings, damage_of
from core.store.connection import fault_of, identity
from core.store.durable import flush_folder, move_into_place
from core.store.lock import Holder, WriterLock, holder_of
from core.store.log.incarnation import leave_behind
from core.store.log.receipts import SALVAGE, put_receipt
from core.store.reader import STORE_NAME

log = logging.getLogger(__name__)

HELPER_S_MAX = 3600.0

_PROGRAM = Path(__file__).resolve().with_name("salvage.py")


class _Fault(msgspec.Struct, frozen=True):
    error: str
    message: str


def inspect(folder: Path, *, at: float) -> Findings:
    """How the store in `folder` is, changing nothing; for one that nobody writes meanwhile."""
    return _helped(folder, at=at, verb=INSPECT)


def is_settled(folder: Path) -> bool:
    """Whether nothing needs to be looked at before the store in `folder` is opened, as far as a glance tells."""
    if not _is_there(folder):
        return True
    last = holder_of(folder)
    return (last is None or last.clean) and not _size_of(folder / f"{STORE_NAME}-wal") and damage_of(folder) is None


def recover(folder: Path, *, clock: Clock) -> Findings | None:
    """Bring the store in `folder` to where a writer may open it; None where its last writer closed it properly.

    Takes the writer's lock meanwhile: raises WriterBusy where somebody writes. The caller's own connections to the
    store are closed. A damaged store stays as it is: `verdict` says so, and no writer can open it.
    """
    if not _is_there(folder):
        return None
    with _locked(folder) as lock:
        return settle(folder, was_clean=lock.was_clean, at=clock.now())


def repair(folder: Path, *, clock: Clock) -> Findings | None:
    """As `recover`, however the store was closed, and every index looked through: for one that a checkup finds faulty.

    Where its pages or indexes are out of order it is then `damaged`, with everything salvaged that can be. Folds that
    differ are for `Store.rebuild`; for bad rows there are only backups.
    """
    if not _is_there(folder):
        return None
    with _locked(folder):
        return damage_of(folder) or _told(folder, _helped(folder, at=clock.now(), verb=REPAIR))


def settle(folder: Path, *, was_clean: bool, at: float) -> Findings | None:
    """As `recover`, for one who holds the writer's lock and has no connection open yet."""
    waiting = damage_of(folder)
    if waiting is not None:
        return waiting
    if was_clean and not _size_of(folder / f"{STORE_NAME}-wal"):
        return None
    return _told(folder, _helped(folder, at=at, verb=MEND))


def refuse_damaged(folder: Path, found: Findings | None) -> None:
    """Raise FileDamaged where `found` says that the store waits for its owner."""
    if found is not None and found.verdict == "damaged":
        raise FileDamaged(
            f"{folder.name}: the store is damaged: {found.told_salvaged}",
            remedy="It can still be read. Restore a backup, or accept what could be salvaged.",
        )


def accept_salvage(folder: Path, *, actor: str, clock: Clock) -> Findings:
    """Put the salvaged store in the damaged one's place, with a receipt of what is lost; the copies stay aside.

    Raises NotFound where no store waits for it, FileDamaged where nothing could be salvaged.
    """
    try:
        with _locked(folder) as lock:
            found = damage_of(folder)
            if found is None:
                raise NotFound(f"{folder.name}: no damaged store waits here")
            place = next((folder / name for name in found.aside if _is_salvaged(folder, name)), None)
            if place is None or (identity(place) is None and identity(folder / STORE_NAME) is None):
                raise FileDamaged(f"{folder.name}: nothing could be salvaged", remedy="Restore a backup.")
            if identity(place) is not None:
                _sign(place, found, last=lock.last, actor=actor, at=clock.now())
                _swap(folder, place)
            (folder / MARKER).unlink()
            flush_folder(folder)
            return found
    except (apsw.Error, OSError) as err:
        raise fault_of(err, folder / STORE_NAME) from err


def _is_there(folder: Path) -> bool:
    """Whether there is a store, or a log of one whose file is gone."""
    return identity(folder / STORE_NAME) is not None or _size_of(folder / f"{STORE_NAME}-wal") > 0


def _is_salvaged(folder: Path, name: str) -> bool:
    """Whether the name is that of a salvaged store set aside in `folder`: a connector may write any name there."""
    is_ours = name.endswith(SALVAGED) and name == f"{QUARANTINE}/{Path(name).name}"
    return is_ours and not (folder / QUARANTINE).is_symlink()


@contextmanager
def _locked(folder: Path) -> Iterator[WriterLock]:
    """The writer's lock; what is done under it leaves the store as a proper close would, unless it fails."""
    lock = WriterLock.acquire(folder)
    clean = lock.was_clean
    try:
        yield lock
        clean = True
    finally:
        lock.release(clean=clean)


def _told(folder: Path, found: Findings) -> Findings:
    if found.verdict == "tail_dropped":
        log.warning("tail dropped store=%s bytes=%d facts_seen=%d", folder.name, found.bytes, found.facts_seen)
    elif found.verdict == "damaged":
        log.error("store damaged store=%s: %s", folder.name, found.told_salvaged)
    return found


def _sign(place: Path, found: Findings, *, last: Holder | None, actor: str, at: float) -> None:
    """Leave the receipt in the salvaged store, before it becomes the store; once, however often this is begun.

    Positions of what is lost may be known elsewhere, so it goes on in another epoch.
    """
    db = apsw.Connection(str(place), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW)
    try:
        db.pragma("synchronous", "full")
        with db:
            leave_behind(db, last)
            put_receipt(db, SALVAGE, actor=actor, at=at, document=msgspec.to_builtins(found), once=True)
    finally:
        db.close()


def _swap(folder: Path, place: Path) -> None:
    """The damaged log goes first: it must never meet the salvaged database. Both are copied aside."""
    for name in (f"{STORE_NAME}-wal", f"{STORE_NAME}-shm"):
        (folder / name).unlink(missing_ok=True)
    flush_folder(folder)
    move_into_place(place, folder / STORE_NAME)


def _size_of(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def _helped(folder: Path, *, at: float, verb: str) -> Findings:
    # Isolated: nothing of the environment or the folder it stands in decides what is imported.
    command = [sys.executable, "-I", "-B", str(_PROGRAM), str(folder.resolve()), repr(at), verb]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=HELPER_S_MAX)
    except subprocess.TimeoutExpired as err:
        raise Broken(
            f"{folder.name}: the store was not examined within {HELPER_S_MAX:g} s",
            remedy="Try again when less else is going on; if it stays so, look at the disk.",
        ) from err
    try:
        return msgspec.json.decode(done.stdout, type=Findings)
    except msgspec.MsgspecError:
        if done.returncode:
            log.error("store not examined store=%s status=%d", folder.name, done.returncode)
        raise _fault_in(done.stdout, folder) from None


def _fault_in(answer: bytes, folder: Path) -> LockerError:
    try:
        told = msgspec.json.decode(answer, type=_Fault)
    except msgspec.MsgspecError:
        return Broken(f"{folder.name}: the store could not be examined")
    kind = getattr(errors, told.error, Broken)
    return kind(told.message) if issubclass(kind, LockerError) else Broken(told.message)

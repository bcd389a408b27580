"""A backup brought into an empty Me: checked as a whole first, then moved in place; never half of it in silence.

It is unpacked into `.restore` in that Me. Only when every byte was compared with the backup's own contents, every
database with its inventory, and all was made ready does it move, under a mark that says so: a restore that is killed
before the mark begins anew, one that is killed behind it is finished by the next.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import apsw
import msgspec

from core.backup.archive import CONTENTS, Contents, Item, checked_name, json_text, lines_of
from core.backup.holdings import PASSING_TOP
from core.backup.packing import FOLDER_MODE, created, words_for_os_errors
from core.backup.saving import (
    BELOW_ME,
    CORE_DATABASE,
    FORMAT,
    HEADER,
    INVENTORY,
    SECRETS,
    SECRETS_BYTES_MAX,
    SECRETS_CONTEXT,
    Header,
    Inventory,
    OnStep,
)
from core.backup.unpacking import LINE_BYTES_MAX, items, text_of
from core.model.clock import Clock
from core.model.errors import Conflict, FileDamaged, FormatTooNew, KeyMissing, NotFound, StorageFull
from core.registry import begin_anew
from core.store import Documents, holding_of, renew_epoch
from core.vault import PrivateFile, sync_folder, unseal_under

RESTORED = "restored.json"
RESTORED_BYTES_MAX = 1024 * 1024
STAGE = ".restore"
PASSPHRASE_TRIES_MAX = 3
JSON_BYTES_MAX = 64 * 1024 * 1024
FREE_BYTES_MIN = 64 * 1024 * 1024
# What may stand in a Me that nobody has used yet.
EMPTY_ME = frozenset({"README.md", ".gitignore", ".DS_Store", "lost+found", *PASSING_TOP})

_TREE = "tree"
_READY = "ready"

Piece = TypeVar("Piece")
#: Asked for the passphrase, at the first try with 0, then with 1 and so on; None goes on without the secrets.
AskPassphrase = Callable[[int], str | None]


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore left to be decided: kept in `Me/restored.json` until the owner lets this device take over."""

    restored_at: float
    made_at: float
    has_secrets: bool
    resting: tuple[str, ...]
    damaged: tuple[str, ...] = ()


def restore(
    archive: Path,
    me: Path,
    *,
    passphrase: AskPassphrase,
    clock: Clock,
    on_step: OnStep = lambda _step: None,
) -> Restored:
    """Bring the backup `archive` into `me`, which must be empty, and which nobody else may use meanwhile.

    `passphrase` is asked where the backup has secrets; None leaves them out: then data opens, and accounts need a
    sign-in. Every service rests until `take_over`. Raises Conflict, FormatTooNew, KeyMissing, or FileDamaged naming
    what is wrong with the backup; then `me` is as empty as it was.
    """
    with words_for_os_errors(me):
        me.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        stage = me / STAGE
        if (stage / _READY).exists():
            return _move_in(me)
        check_empty(me)
        shutil.rmtree(stage, ignore_errors=True)
        (stage / _TREE).mkdir(parents=True, mode=FOLDER_MODE)
        try:
            on_step("unpacking")
            restoring = _Restoring(archive, stage / _TREE)
            restoring.unpack(bytes_max=_room(me))
            on_step("checking")
            restoring.check()
            restoring.open_secrets(passphrase)
            _make_ready(stage, restoring.begin_anew(clock), on_step)
        except BaseException:
            shutil.rmtree(stage, ignore_errors=True)
            raise
        return _move_in(me)


def restored_in(me: Path) -> Restored | None:
    """What the restore of this Me left to be decided; None where nothing waits."""
    try:
        text = PrivateFile(me / RESTORED, bytes_max=RESTORED_BYTES_MAX).read()
        return None if text is None else msgspec.json.decode(text, type=Restored)
    except (OSError, FileDamaged, msgspec.MsgspecError):
        return None


def check_empty(me: Path) -> None:
    """Raise Conflict unless `me` holds nothing that a restore could get in the way of."""
    there = sorted(entry.name for entry in me.iterdir() if entry.name not in EMPTY_ME) if me.is_dir() else []
    if there:
        raise Conflict(
            f"{me} is not empty: it holds {there[0]}{' and more' if there[1:] else ''}",
            remedy="Restore into a folder that is empty or not there yet: --me DIR.",
        )


def is_unfinished(me: Path) -> bool:
    """Whether a restore into `me` was broken off while it moved in: what stands there is not whole."""
    return (me / STAGE / _READY).exists()


class _Restoring:
    """One backup on its way out of its archive into `tree`."""

    def __init__(self, archive: Path, tree: Path) -> None:
        self._archive = archive
        self._tree = tree
        self._contents = Contents()
        self._header: Header | None = None
        self._inventory: Inventory | None = None
        self._sealed: bytes | None = None
        self._has_secrets = False
        self._faults: list[str] | None = None

    def unpack(self, *, bytes_max: int) -> None:
        """Put every file below the tree; what stands there is trusted only when the contents agreed in the end."""
        folders = {self._tree}
        for number, item in enumerate(self._told(items(self._archive, bytes_max=bytes_max))):
            if self._faults is not None:
                self._faults.append("it goes on behind its contents")
            elif item.name == CONTENTS:
                self._faults = self._contents.faults(lines_of(self._told(item), line_bytes_max=LINE_BYTES_MAX))
            else:
                self._take(number, item, folders)
        if self._faults is None:
            raise self._damaged("it breaks off")
        if self._faults:
            raise self._damaged("; ".join(self._faults))
        for folder in folders:
            sync_folder(folder)

    def check(self) -> None:
        """Compare every database with what the backup found in it when it was made."""
        if self._header is None or self._inventory is None:
            raise self._damaged("it has no inventory")
        for name, held in self._inventory.databases.items():
            try:
                found = holding_of(self._tree / checked_name(name))
            except NotFound as err:
                raise self._damaged(f"{name} is missing") from err
            if found != held:
                raise self._damaged(f"{name} does not hold what it held")

    def open_secrets(self, passphrase: AskPassphrase) -> None:
        """Put the secrets in place, if there are any and the owner has the passphrase."""
        if self._sealed is None:
            return
        for attempt in range(PASSPHRASE_TRIES_MAX):
            phrase = passphrase(attempt)
            if phrase is None:
                return
            try:
                opened = unseal_under(phrase, self._sealed, context=SECRETS_CONTEXT)
                break
            except KeyMissing:
                if attempt == PASSPHRASE_TRIES_MAX - 1:
                    raise
        for name, content in msgspec.msgpack.decode(opened, type=dict[str, bytes]).items():
            self._write(checked_name(name), [content], {self._tree})
        self._has_secrets = True

    def begin_anew(self, clock: Clock) -> Restored:
        """Make it another incarnation of itself, in which no service syncs yet."""
        assert self._header is not None
        assert self._inventory is not None
        for name, held in self._inventory.databases.items():
            if held.epoch is not None:
                self._renew(name, held.epoch, held.head or 0)
        # Closed whatever happens: else the next start would take an edit made in the meantime for one made while open.
        with contextlib.closing(Documents(self._tree / "locker.json", clock)) as documents:
            resting = begin_anew(documents)
        # The version before, in which nobody rested, must not come back as the good one.
        (self._tree / "locker.json.bak").unlink(missing_ok=True)
        return Restored(
            restored_at=clock.now(),
            made_at=self._header.made_at,
            has_secrets=self._has_secrets,
            resting=tuple(sorted({*resting, *self._resting_before()})),
            damaged=self._inventory.unsound,
        )

    def _renew(self, name: str, old: str, head: int) -> None:
        """A new epoch, in which the core's own listeners go on where they were: their positions were saved with it."""
        new = renew_epoch(self._tree / name)
        core = self._tree / CORE_DATABASE
        assert self._inventory is not None
        if CORE_DATABASE not in self._inventory.databases:
            return
        db = apsw.Connection(str(core), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW)
        with contextlib.closing(db), db:
            db.execute("UPDATE position SET epoch = ?, seq = min(seq, ?) WHERE epoch = ?", (new, head, old))

    def _resting_before(self) -> Iterable[str]:
        """Those that an earlier restore had put to rest, and nobody has woken since."""
        before = restored_in(self._tree)
        return () if before is None else before.resting

    def _take(self, number: int, item: Item, folders: set[Path]) -> None:
        passed = self._told(self._contents.watched(item.name, item, size=item.size))
        if (number == 0) != (item.name == HEADER):
            raise FileDamaged(f"{self._archive} is no backup of Locker's", remedy="Name a file that `backup` made.")
        if item.name == HEADER:
            self._header = _header_of(text_of(passed, bytes_max=JSON_BYTES_MAX), self._archive)
        elif item.name == INVENTORY:
            self._inventory = self._decoded(text_of(passed, bytes_max=JSON_BYTES_MAX))
        elif item.name == SECRETS:
            self._sealed = text_of(passed, bytes_max=2 * SECRETS_BYTES_MAX)
        elif item.name.startswith(BELOW_ME) and item.name.split("/")[1] not in PASSING_TOP:
            self._write(item.name.removeprefix(BELOW_ME), passed, folders)
        else:
            raise self._damaged(f"it holds {item.name}, which no backup does")

    def _decoded(self, text: bytes) -> Inventory:
        try:
            return msgspec.json.decode(text, type=Inventory)
        except msgspec.MsgspecError as err:
            raise self._damaged("its inventory cannot be read") from err

    def _write(self, name: str, chunks: Iterable[bytes], folders: set[Path]) -> None:
        path = self._tree / name
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        folders.update(folder for folder in path.parents if folder.is_relative_to(self._tree))
        with created(path) as file:
            file.writelines(chunks)

    def _told(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """The same pieces; what is wrong with the archive itself is told of this backup."""
        try:
            yield from pieces
        except FileDamaged as err:
            raise self._damaged(err.detail) from err

    def _damaged(self, what: str) -> FileDamaged:
        return FileDamaged(
            f"{self._archive} cannot be restored: {what}", remedy="Nothing was restored. Use another backup."
        )


def _header_of(text: bytes, archive: Path) -> Header:
    try:
        known = msgspec.json.decode(text, type=dict[str, object])
        if isinstance(known.get("format"), int) and int(str(known["format"])) > FORMAT:
            raise FormatTooNew(f"{archive} has format {known['format']}; this Locker knows up to {FORMAT}")
        return msgspec.convert(known, Header)
    except msgspec.MsgspecError as err:
        raise FileDamaged(f"{archive} is no backup of Locker's", remedy="Name a file that `backup` made.") from err


def _make_ready(stage: Path, restored: Restored, on_step: OnStep) -> None:
    """From the mark on, the restore is finished whatever happens."""
    on_step("moving in")
    PrivateFile(stage / _TREE / RESTORED, bytes_max=RESTORED_BYTES_MAX).replace(json_text(restored))
    PrivateFile(stage / _READY, bytes_max=0).replace(b"")


def _move_in(me: Path) -> Restored:
    """Move what is ready from the stage to its place, as far as it is not there yet."""
    stage = me / STAGE
    for entry in sorted((stage / _TREE).iterdir()):
        entry.rename(me / entry.name)
    sync_folder(me)
    (stage / _READY).unlink()  # First: without its mark, what a kill leaves of the stage means nothing.
    sync_folder(stage)
    shutil.rmtree(stage)
    sync_folder(me)
    return msgspec.json.decode((me / RESTORED).read_bytes(), type=Restored)


def _room(me: Path) -> int:
    free = shutil.disk_usage(me).free
    if free < FREE_BYTES_MIN:
        raise StorageFull(f"there is no room to restore into {me}", remedy="Free some space, then try again.")
    return free - FREE_BYTES_MIN

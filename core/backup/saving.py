"""The backup of a whole Me, made while everything in it goes on: one archive, whole and read back, or none.

Databases come first, each as it is at one moment. The core's own is the first of all: it says how far listeners have
heard, and what they made of it must be as old or newer. What is secret goes into one entry that only the passphrase
opens, or stays out.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import msgspec

from core.backup.archive import CHUNK_BYTES, Sink, add_json
from core.backup.holdings import Found, Kind, Left, holdings, reason_of
from core.backup.packing import form_of, packed, refuse_inside, scratch
from core.model.clock import Clock
from core.model.errors import BadRequest, BodyTooLarge, FileDamaged, NotFound, TooBusy
from core.store import Holding, copy_database, note_backup
from core.vault import check_passphrase, seal_under

log = logging.getLogger(__name__)

FORMAT = 1
HEADER = "backup.json"
INVENTORY = "inventory.json"
SECRETS = "secrets.sealed"
BELOW_ME = "me/"
SECRETS_CONTEXT = "backup"
CORE_DATABASE = "core.db"
SECRETS_BYTES_MAX = 512 * 1024 * 1024
SECRET_BYTES_MAX = 2 * 1024 * 1024

_OPEN = sum(getattr(os, name, 0) for name in ("O_RDONLY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))

OnStep = Callable[[str], None]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first entry: what this is. A Locker that does not know the format goes no further."""

    format: int
    made_at: float
    locker: str
    has_secrets: bool


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What went in: each database with what it holds, what was copied though SQLite cannot read it, what stayed out."""

    databases: dict[str, Holding]
    damaged: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()

    @property
    def unsound(self) -> tuple[str, ...]:
        """The databases that are not what was once written into them; they were copied as they are."""
        bad = (name for name, held in self.databases.items() if held.bad_facts)
        return tuple(sorted({*self.damaged, *bad}))


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was made and read back."""

    path: str
    size_bytes: int
    files: int
    made_at: float
    has_secrets: bool
    inventory: Inventory


def back_up(
    me: Path,
    target: Path,
    *,
    passphrase: str | None,
    clock: Clock,
    version: str,
    on_step: OnStep = lambda _step: None,
) -> Backup:
    """Back `me` up into the archive `target`, a `.tar` or `.tar.gz`; without a passphrase, without its secrets.

    Nobody has to stop for it. Raises NotFound, Conflict, StorageFull or FolderUnusable; then nothing is left.
    """
    form = form_of(target)
    if form not in ("tar", "tar.gz"):
        raise BadRequest(f"{target.name} is no name for a backup", remedy="Let it end in .tar or .tar.gz.")
    if not (me / "locker.json").is_file():
        raise NotFound(f"{me} holds nothing to back up", remedy="Say where your data is: --me DIR.")
    refuse_inside(me, target)
    phrase = None if passphrase is None else check_passphrase(passphrase)
    made_at = clock.now()
    with scratch(target) as beside:
        with packed(target, beside, form=form) as sink:
            header = Header(format=FORMAT, made_at=made_at, locker=version, has_secrets=phrase is not None)
            add_json(sink, HEADER, header)
            saving = _Saving(me, sink, beside, on_step)
            saving.add_all(phrase)
        size = target.stat().st_size
    _note(me, target.absolute(), saving.inventory)
    return Backup(
        path=str(target), size_bytes=size, files=saving.files, made_at=made_at, has_secrets=phrase is not None,
        inventory=saving.inventory,
    )  # fmt: skip


class _Saving:
    """One backup on its way into a sink; what it copies on the way lies in `beside`."""

    def __init__(self, me: Path, sink: Sink, beside: Path, on_step: OnStep) -> None:
        self._me = me
        self._sink = sink
        self._beside = beside
        self._on_step = on_step
        self._databases: dict[str, Holding] = {}
        self._damaged: list[str] = []
        self._left: list[Left] = []
        self.files = 0

    @property
    def inventory(self) -> Inventory:
        """What went in until now."""
        return Inventory(databases=self._databases, damaged=tuple(self._damaged), left=tuple(self._left))

    def add_all(self, passphrase: str | None) -> None:
        """Everything of Me, in the order in which it stays consistent."""
        found: dict[Kind, list[str]] = {kind: [] for kind in Kind}
        for one in holdings(self._me):
            if isinstance(one, Found):
                found[one.kind].append(one.name)
            else:
                self._left.append(one)
        for name in sorted(found[Kind.DATABASE], key=lambda name: (name != CORE_DATABASE, name)):
            self._on_step(name)
            self._add_database(name)
        self._on_step("files")
        for name in found[Kind.PLAIN]:
            self._add_plain(name)
        if passphrase is not None:
            self._add_secrets(found[Kind.SECRET], passphrase)
        add_json(self._sink, INVENTORY, self.inventory)
        self._on_step("reading it back")

    def _add_database(self, name: str) -> None:
        copy = self._beside / "copy"
        try:
            self._databases[name] = copy_database(self._me / name, copy)
        except NotFound:
            self._left.append(Left(name, "it went away meanwhile"))
            return
        except (FileDamaged, TooBusy):
            # Better the bytes as they are than nothing at all: whoever mends it has them.
            self._damaged.append(name)
            for end in ("", "-wal"):
                self._add_plain(name + end)
            return
        self._add_copy(name, copy)

    def _add_plain(self, name: str) -> None:
        copy = self._beside / "copy"
        source = self._opened(name)
        if source is None:
            return
        try:
            with source, copy.open("wb") as file:
                file.writelines(_pieces(source))
        except FileDamaged as err:
            self._left.append(Left(name, err.detail))
            return
        self._add_copy(name, copy)

    def _add_copy(self, name: str, copy: Path) -> None:
        with copy.open("rb") as file:
            self._sink.add(BELOW_ME + name, iter(lambda: file.read(CHUNK_BYTES), b""), size=copy.stat().st_size)
        copy.unlink()
        self.files += 1

    def _add_secrets(self, names: list[str], passphrase: str) -> None:
        secrets: dict[str, bytes] = {}
        for name in names:
            file = self._opened(name)
            if file is None:
                continue
            try:
                with file:
                    content = file.read(SECRET_BYTES_MAX + 1)
            except OSError as err:
                self._left.append(Left(name, reason_of(err)))
                continue
            if len(content) > SECRET_BYTES_MAX:
                self._left.append(Left(name, "it is too large for a secret"))
                continue
            secrets[name] = content
        if sum(map(len, secrets.values())) > SECRETS_BYTES_MAX:
            raise BodyTooLarge(f"the secrets have more than {SECRETS_BYTES_MAX} bytes")
        sealed = seal_under(passphrase, msgspec.msgpack.encode(secrets), context=SECRETS_CONTEXT)
        self._sink.add(SECRETS, [sealed], size=len(sealed))

    def _opened(self, name: str) -> IO[bytes] | None:
        """The file, whatever a child put in its place meanwhile: for a link, a pipe or nothing, a note that it is left.

        A write-ahead log that is not there leaves nothing out.
        """
        try:
            handle = os.open(self._me / name, _OPEN)
        except OSError as err:
            if not (isinstance(err, FileNotFoundError) and name.endswith("-wal")):
                self._left.append(Left(name, reason_of(err)))
            return None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            self._left.append(Left(name, "it is no file any more"))
            return None
        return os.fdopen(handle, "rb")


def _pieces(source: IO[bytes]) -> Iterator[bytes]:
    """The bytes of the file; FileDamaged where the disk does not give them: that is no fault of where they go."""
    while True:
        try:
            piece = source.read(CHUNK_BYTES)
        except OSError as err:
            raise FileDamaged(reason_of(err)) from err
        if not piece:
            return
        yield piece


def _note(me: Path, archive: Path, inventory: Inventory) -> None:
    """Let each store know where its copies are; that one cannot be told makes the backup no worse."""
    for name, held in inventory.databases.items():
        if held.epoch is not None:
            try:
                note_backup((me / name).parent, archive)
            except OSError as err:
                log.warning("backup not noted store=%s error=%s", name, err.strerror)

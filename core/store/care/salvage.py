"""What a helper process does with the raw files of a store: `python core/store/care/salvage.py FOLDER TIME VERB`.

It is a process of its own because it opens the database's file: in a process with a connection to that file, closing
it would drop SQLite's locks. Its caller holds the writer's lock, and nobody else has a connection that writes.
"""

from __future__ import annotations

import os
import shutil
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw
import msgspec

if __name__ == "__main__":
    # Stand-ins that only know their folders: the checkout may be closed to us, as to the child that we help, and the
    # room's contents page would load all of it.
    HERE = Path(__file__).resolve().parent
    for _name, _folder in (("core", HERE.parent.parent), ("core.store", HERE.parent)):
        _package = types.ModuleType(_name)
        _package.__path__ = [str(_folder)]
        sys.modules[_name] = _package

from core.model.errors import FolderUnusable, LockerError
from core.store.care.candidate import Rest, build, seen_head
from core.store.care.carving import Leaf, Leaves
from core.store.care.findings import INSPECT, MARKER, QUARANTINE, REPAIR, SALVAGED, Findings, spans_of
from core.store.care.overlay import ReadAt, file_faults, overlaid, raw, shown
from core.store.care.soundness import Soundness, soundness
from core.store.care.walfile import (
    FRAME_HEADER_BYTES,
    HEADER_BYTES,
    PAGE_BYTES_MAX,
    PAGE_BYTES_MIN,
    Frame,
    Verdict,
    walk,
)
from core.store.connection import fault_of, open_for_writing
from core.store.durable import CREATE, FILE_MODE, FOLDER_MODE, NO_FOLLOW, flush_folder, replace_file
from core.store.lock import LOCK_NAME
from core.store.reader import STORE_NAME

_PAGE_BYTES_USUAL = 4096
_ROOT_OF_HEADS = "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_sequence'"

T = TypeVar("T")


class Case:
    """The files of one store as they lie there, and what the walk over its log found."""

    def __init__(self, folder: Path, *, at: float, is_thorough: bool = False) -> None:
        self.folder = folder
        self.at = at
        self.base = folder / STORE_NAME
        self.wal = folder / f"{STORE_NAME}-wal"
        with raw(self.base) as (read_at, size), raw(self.wal) as (read_wal, wal_bytes):
            self.is_empty = size == wal_bytes == 0
            self.walk = walk(read_wal, wal_bytes, page_bytes=_page_bytes(read_at))
            self.kept = self.walk.frames[: self.walk.valid]
            faults = file_faults(read_at, size, self.kept or self.walk.tail, page_bytes=self.walk.page_bytes)
        judge = partial(soundness, is_thorough=is_thorough)
        sound = self.seen_with(self.kept, judge) or Soundness(faults=("unreadable",))
        self.sound = msgspec.structs.replace(sound, faults=(*faults, *sound.faults))

    def seen_with(self, frames: Iterable[Frame], judge: Callable[[apsw.Connection], T]) -> T | None:
        """What `judge` says of the database with `frames` over it; None where SQLite can make nothing of that."""
        try:
            with overlaid(self.base, self.wal, frames, page_bytes=self.walk.page_bytes) as db:
                return judge(db)
        except (apsw.Error, ValueError):
            return None

    def views(self) -> list[tuple[Frame, ...]]:
        """The ways to look at it, the most promising first: with what is intact, with all, and as SQLite would."""
        intact = tuple(frame for frame in self.walk.tail if frame.is_intact)
        every = (*self.kept, *self.walk.tail)
        return list(dict.fromkeys(((*self.kept, *intact), every, self.kept, ())))

    def lost_facts(self) -> int:
        """How many facts the log's tail speaks of; what is intact is believed before what is not."""
        for frames in self.views()[:2]:
            if (head := self.seen_with(frames, seen_head) or 0) > self.sound.head:
                return head - self.sound.head
        return 0

    def is_end_known(self) -> bool:
        """Whether what is intact has the page of the log's head as it was written last: behind all that is broken."""
        if self.walk.verdict is not Verdict.WHOLE and not self.walk.frames and self.walk.lost_bytes > HEADER_BYTES:
            return False
        if not self.walk.broken:
            return True
        views = self.views()
        root = next(filter(None, (self.seen_with(frames, _root_of_heads) for frames in views)), 0)
        places = [place for place, frame in enumerate(self.walk.frames) if frame.is_intact and frame.page == root]
        if max(places, default=-1) < self.walk.broken[-1]:
            return False
        # What an earlier generation left has no head beyond the database's.
        below, above = (self.seen_with(frames, seen_head) or 0 for frames in ((), views[0]))
        return self.walk.is_proven or above > below > 0

    def is_tail_known(self) -> bool:
        """Whether all facts that the log's tail may hold are told: it is unfinished alone, or has its head."""
        has_noise = any(self.walk.frames[place].is_noise for place in self.walk.broken)
        return self.is_end_known() or not (has_noise or self.lost_facts() == 0)

    def tells_nothing_new(self) -> bool:
        """Whether the tail holds nothing but what is in the database already, as after a checkpoint."""
        if self.walk.broken:
            return False
        last = {frame.page: frame for frame in self.walk.tail}
        below = {frame.page: frame for frame in self.kept}
        with raw(self.base) as (read_base, _), raw(self.wal) as (read_wal, _):
            size = self.walk.page_bytes
            for page, frame in last.items():
                under = below.get(page)
                place = None if under is None else under.offset + FRAME_HEADER_BYTES
                before = read_base((page - 1) * size, size) if place is None else read_wal(place, size)
                if before != read_wal(frame.offset + FRAME_HEADER_BYTES, size):
                    return False
        return bool(last)


def examine(folder: Path, *, at: float, mend: bool, is_thorough: bool = False) -> Findings:
    """Find out how the store in `folder` is; `mend`: drop a torn tail, or set a damaged store aside and salvage it."""
    case = Case(folder, at=at, is_thorough=is_thorough)
    found = Findings(
        verdict="whole",
        at=at,
        head=case.sound.head,
        bad=case.sound.bad,
        faults=case.sound.faults,
        folds_differ=case.sound.folds_differ,
    )
    if case.is_empty or (case.walk.verdict is Verdict.WHOLE and not case.sound.faults):
        return found if not case.is_empty else Findings(verdict="whole", at=at)
    if case.sound.faults or (case.walk.verdict is Verdict.DAMAGED and not case.tells_nothing_new()):
        return _damaged(case, found, mend=mend)
    found = msgspec.structs.replace(
        found,
        verdict="tail_dropped",
        bytes=case.walk.lost_bytes,
        facts_seen=case.lost_facts(),
        is_lost_known=case.is_tail_known(),
    )
    return _without_tail(case, found) if mend else found


def _without_tail(case: Case, found: Findings) -> Findings:
    with _undone_if_it_fails() as made:
        aside = (_set_aside(case, case.wal, "wal", made),)
    db = open_for_writing(case.base, mode_of=case.folder / LOCK_NAME)
    try:
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        db.close()
    return msgspec.structs.replace(found, aside=aside)


def _damaged(case: Case, found: Findings, *, mend: bool) -> Findings:
    found = msgspec.structs.replace(found, verdict="damaged", bytes=case.walk.lost_bytes, facts_seen=case.lost_facts())
    if not mend:
        return found
    with _undone_if_it_fails() as made, ExitStack() as stack:
        files = ((case.base, STORE_NAME), (case.wal, "wal"))
        aside = [_set_aside(case, path, name, made) for path, name in files if os.path.lexists(path)]
        place = _free_name(case, SALVAGED)
        made.append(place)
        size = case.walk.page_bytes
        views = [partial(overlaid, case.base, case.wal, frames, page_bytes=size) for frames in case.views()]
        rest = _rest(case, stack)
        candidate = build(place, views, rest, kept_head=case.sound.head, is_end_known=case.is_end_known())
        found = msgspec.structs.replace(
            found,
            salvaged=candidate.facts,
            head=candidate.head,
            lost=spans_of(candidate.lost),
            is_lost_known=candidate.is_lost_known,
            aside=(*aside, f"{QUARANTINE}/{place.name}"),
        )
        replace_file(case.folder / MARKER, msgspec.json.format(msgspec.json.encode(found)))
    return found


def _rest(case: Case, stack: ExitStack) -> Rest:
    """Every page of the log and of the file, the last first."""
    size = case.walk.page_bytes
    lookups = [stack.enter_context(shown(case.base, case.wal, frames, page_bytes=size)).page for frames in case.views()]
    read_base, base_bytes = stack.enter_context(raw(case.base))
    read_wal, _ = stack.enter_context(raw(case.wal))
    frames = [frame for frame in case.walk.frames if frame.is_ours and frame.page > 0]

    def leaves(is_newest: bool) -> Leaves:
        def pages() -> Iterator[Leaf]:
            seen: set[int] = set()
            for frame in reversed(frames):
                if not (is_newest and frame.page in seen):
                    yield frame.page, read_wal(frame.offset + FRAME_HEADER_BYTES, size)
                seen.add(frame.page)
            for number in range(1, base_bytes // size + 1):
                if not (is_newest and number in seen):
                    yield number, read_base((number - 1) * size, size)

        return pages

    return Rest(leaves, lookups)


def _root_of_heads(db: apsw.Connection) -> int:
    return int(db.execute(_ROOT_OF_HEADS).get or 0)


@contextmanager
def _undone_if_it_fails() -> Iterator[list[Path]]:
    """A list for the files that the block makes; they go where it fails, else each try would leave more of them."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for path in made:
            for end in ("", "-wal", "-shm", "-journal"):
                path.with_name(path.name + end).unlink(missing_ok=True)
        raise


def _set_aside(case: Case, source: Path, name: str, made: list[Path]) -> str:
    """Copy a file into quarantine, flushed; its name within the folder."""
    target = _free_name(case, name)
    made.append(target)
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | NO_FOLLOW)
    with os.fdopen(reading, "rb") as old, os.fdopen(os.open(target, CREATE, FILE_MODE), "wb") as new:
        shutil.copyfileobj(old, new, 1024 * 1024)
        new.flush()
        os.fsync(new.fileno())
    flush_folder(target.parent)
    return f"{QUARANTINE}/{target.name}"


def _free_name(case: Case, name: str) -> Path:
    folder = case.folder / QUARANTINE
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    if folder.is_symlink():
        raise FolderUnusable(f"{folder} is a link")
    stamp = datetime.fromtimestamp(case.at, UTC).strftime("%Y%m%dT%H%M%SZ")
    names = [f"{stamp}-{name}", *(f"{stamp}.{number}-{name}" for number in range(2, 1000))]
    free = [folder / one for one in names if not os.path.lexists(folder / one)]
    if not free:
        raise FolderUnusable(f"{folder} is full of copies")
    return free[0]


def _page_bytes(read_at: ReadAt) -> int:
    written = int.from_bytes(read_at(16, 2), "big")
    size = PAGE_BYTES_MAX if written == 1 else written
    return size if PAGE_BYTES_MIN <= size <= PAGE_BYTES_MAX and size & (size - 1) == 0 else _PAGE_BYTES_USUAL


def main(arguments: list[str]) -> int:
    """Examine one store and write what was found as a line of JSON; an error is such a line too."""
    folder, at, verb = Path(arguments[0]), float(arguments[1]), arguments[2]
    try:
        found = examine(folder, at=at, mend=verb != INSPECT, is_thorough=verb == REPAIR)
        answer = msgspec.json.encode(found)
    except (LockerError, apsw.Error, OSError) as err:
        fault = fault_of(err, folder / STORE_NAME)
        answer = msgspec.json.encode({"error": type(fault).__name__, "message": str(fault)})
    sys.stdout.buffer.write(answer + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The stores as `doctor` sees them: looked through, put in order where that loses nothing, or taken as salvaged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.backup import Remembered, remembered
from core.cli.backups import progress
from core.cli.connectors import connectors_of
from core.cli.findings import FAULT, GOOD, NOTE, Finding
from core.cli.hints import see, typed
from core.cli.opener import OWNER, Opener
from core.cli.running_core import RunningCore
from core.config import Config
from core.model.clock import SystemClock
from core.model.errors import Conflict, FileDamaged, LockerError, NotFound
from core.model.manifest import TypeSpec
from core.store import (
    Checkup,
    Files,
    FilesVerified,
    Findings,
    Reader,
    accept_salvage,
    check_up,
    damage_of,
    inspect,
    is_held,
    is_settled,
    recover,
    repair,
)

STORE_NAME = "store.db"
NAMED_MAX = 5
SET_ASIDE_MAX = 1000
RECEIPTS_READ = 1000
_A_BACKUP = "Only a backup holds what was there: python3 locker.py restore FILE --me DIR"


@dataclass(frozen=True)
class Look:
    """How one store was found: the last writer's end, what can be checked, the files, copies set aside, and records.

    Of these, `SET_ASIDE_MAX` at most are counted. `unread` says why they or the receipts cannot be read, if so.
    """

    end: Findings | None
    checkup: Checkup | None
    files: FilesVerified
    aside: tuple[str, ...] = ()
    refused: int = 0
    unread: str = ""

    @property
    def can_be_repaired(self) -> bool:
        """Whether something is wrong that can be put in order, or at least set aside and salvaged."""
        if self.end is not None and self.end.verdict != "whole":
            return True
        return self.checkup is not None and (self.checkup.folds_differ or bool(_of_pages(self.checkup)))


class StoreDoctor:
    """The stores of one Me, with a core or without; who asks without one keeps cores away meanwhile."""

    def __init__(self, config: Config, core: RunningCore | None) -> None:
        self._config = config
        self._core = core
        self._clock = SystemClock()
        self._catalog = connectors_of(config)

    def findings(self, *, mends: bool) -> Iterator[Finding]:
        """What there is to say of each store; with `mends`, what can be put in order is, first."""
        try:
            known = remembered(self._config.me)
        except NotFound:
            return
        except LockerError as err:
            yield Finding(FAULT, "stores", err.detail, err.remedy)
            return
        for service_id in [*known, OWNER]:
            if not (self._config.me / service_id / STORE_NAME).is_file():
                continue
            progress(f"looking through the store of {service_id}")
            try:
                yield from self._of_store(service_id, known, mends=mends)
            except LockerError as err:
                yield Finding(FAULT, service_id, err.detail, err.remedy)
        progress("")

    def accept(self, service_id: str) -> Findings:
        """Put what was salvaged of a damaged store in its place, with a receipt.

        Raises NotFound where none waits, Conflict for the owner's own while a core has it.
        """
        known = remembered(self._config.me)
        folder = self._config.me / service_id
        if service_id == OWNER and self._core is not None:
            raise Conflict("Your own notes are open in the Locker that runs.", remedy="Stop it first.")
        opener = Opener(self._config, known, self._core)
        if service_id not in known or not known[service_id].is_installed:
            return accept_salvage(folder, actor=OWNER, clock=self._clock)
        with opener.alone_with(service_id):
            found = accept_salvage(folder, actor=OWNER, clock=self._clock)
            with opener.open(service_id):
                return found  # Opened once: what is folded from the facts is there again.

    def waiting(self, service_id: str) -> Findings:
        """What is known of the damaged store of that name; raises NotFound where none waits."""
        known = remembered(self._config.me)
        found = damage_of(self._config.me / service_id) if service_id in known or service_id == OWNER else None
        if found is None:
            raise NotFound(f"No damaged store of {service_id[:64]!r} waits for you.", remedy=see("list"))
        return found

    def _of_store(self, service_id: str, known: Mapping[str, Remembered], *, mends: bool) -> Iterator[Finding]:
        look = self._look(service_id, known)
        if mends and look.can_be_repaired and damage_of(self._config.me / service_id) is None:
            yield from self._mend(service_id, known, look)
            look = self._look(service_id, known)
        yield from _told(service_id, look)

    def _look(self, service_id: str, known: Mapping[str, Remembered]) -> Look:
        folder = self._config.me / service_id
        end = damage_of(folder)
        # A store that somebody has open is unsettled as long as it is; beside a core its next writer looks anyway.
        if end is None and self._core is None and not is_settled(folder) and not is_held(folder):
            end = inspect(folder, at=self._clock.now())
        types = self._types(known.get(service_id))
        is_sound = end is None or end.verdict == "whole"
        checkup = check_up(folder / STORE_NAME, types=types, wait=_at_once) if is_sound else None
        with Reader.open(folder, types={}) as reader:
            aside = reader.storage_status().quarantine if is_sound else ()
            refused, unread = _beside_facts(reader) if is_sound else (0, "")
        return Look(end, checkup, Files(folder).verify_files(wait=_at_once), aside, refused, unread)

    def _mend(self, service_id: str, known: Mapping[str, Remembered], look: Look) -> Iterator[Finding]:
        """Put in order what loses nothing by it; what would, is set aside and waits for the owner's word."""
        if service_id == OWNER and self._core is not None:
            raise Conflict("Your own notes are open in the Locker that runs.", remedy=f"Stop it, then: {_repair()}")
        one = known.get(service_id)
        is_installed = service_id == OWNER or (one is not None and one.is_installed)
        opener = Opener(self._config, known, self._core)
        folder = self._config.me / service_id
        with opener.alone_with(service_id) if self._core is not None and is_installed else contextlib.nullcontext():
            done = recover(folder, clock=self._clock)
            if done is not None and done.verdict == "tail_dropped":
                yield Finding(NOTE, service_id, f"{_dropped(done)} It is set aside as {', '.join(done.aside)}.")
            if look.checkup is not None and _of_pages(look.checkup):
                done = repair(folder, clock=self._clock)
            if done is not None and done.verdict == "damaged":
                yield Finding(NOTE, service_id, f"What proved whole is gathered: {done.salvaged} facts.")
            elif look.checkup is not None and look.checkup.folds_differ and is_installed:
                with opener.open(service_id) as store:
                    store.rebuild()
                yield Finding(NOTE, service_id, "What is folded from its facts was folded anew.")

    def _types(self, known: Remembered | None) -> Mapping[str, TypeSpec]:
        manifest = None if known is None else self._catalog.entries().get(known.service.connector)
        return manifest.types if manifest is not None else {}


def _told(service_id: str, look: Look) -> list[Finding]:
    """What is to be said of a store: that it is whole, or each thing that is not."""
    faults = [*_of_end(service_id, look.end), *_of_checkup(service_id, look.checkup), *_of_files(service_id, look)]
    if look.unread:
        words = f"Its receipts, or what could not be stored, cannot be read: {look.unread}."
        faults.append(Finding(FAULT, service_id, words, _A_BACKUP))
    if not faults:
        facts = look.checkup.log.facts if look.checkup is not None else 0
        files = f" and {look.files.files:,} files" if look.files.files else ""
        faults.append(Finding(GOOD, service_id, f"{facts:,} facts{files} are what was written."))
    if look.refused:
        number = f"{look.refused:,} or more" if look.refused == SET_ASIDE_MAX else f"{look.refused:,}"
        records = "1 record" if look.refused == 1 else f"{number} records"
        words = f"{records} could not be stored and {'is' if look.refused == 1 else 'are'} set aside."
        faults.append(Finding(NOTE, service_id, words, "Its page says why, and tries again what is kept whole."))
    if look.aside:
        names = ", ".join(look.aside[:NAMED_MAX])
        cure = f"Remove what you do not need from {service_id}/quarantine."
        faults.append(Finding(NOTE, service_id, f"Copies were set aside: {names}.", cure))
    return faults


def _of_end(service_id: str, end: Findings | None) -> Iterator[Finding]:
    if end is None or end.verdict == "whole":
        return
    if end.verdict == "tail_dropped":
        yield Finding(NOTE, service_id, _dropped(end), f"Its next start sets that aside, or: {_repair()}")
    elif end.aside:
        words = f"It is damaged: {end.told_salvaged}. What it was is kept aside: {', '.join(end.copies)}."
        cure = f"Restore a backup, or take what was salvaged: {typed(f'doctor --accept-salvage {service_id}')}"
        yield Finding(FAULT, service_id, words, cure)
    else:
        yield Finding(
            FAULT, service_id, "It is damaged.", f"Have salvaged what can be, nothing goes by that: {_repair()}"
        )


def _of_checkup(service_id: str, checkup: Checkup | None) -> Iterator[Finding]:
    if checkup is None:
        return
    if checkup.log.bad_count:
        first = ", ".join(map(str, checkup.log.bad[:NAMED_MAX]))
        words = f"Facts that are not what was written: {checkup.log.bad_count:,} (positions {first})."
        yield Finding(FAULT, service_id, words, _A_BACKUP)
    for span in checkup.log.broken[:NAMED_MAX]:
        yield Finding(FAULT, service_id, f"Its log lacks facts from position {span.first} on.", _A_BACKUP)
    for fault in checkup.faults[:NAMED_MAX]:
        is_mendable = fault in _of_pages(checkup)
        cure = _repair() if is_mendable else f"{_A_BACKUP}. Its next proper close counts as the new state."
        yield Finding(FAULT, service_id, f"{fault}.", cure)
    if checkup.folds_differ:
        yield Finding(FAULT, service_id, "What is folded from its facts is not what they say.", _repair())


def _beside_facts(reader: Reader) -> tuple[int, str]:
    """How many records are set aside, and why what stands beside the facts cannot be read, where it cannot."""
    before = None
    try:
        while page := reader.receipts(RECEIPTS_READ, before=before):
            before = page[-1].seq
        return len(reader.quarantined(SET_ASIDE_MAX)), ""
    except FileDamaged as err:
        return 0, err.detail


def _of_files(service_id: str, look: Look) -> Iterator[Finding]:
    if look.files.damaged_count:
        first = ", ".join(name[:16] for name in look.files.damaged[:NAMED_MAX])
        words = f"Files that are not what was put: {look.files.damaged_count:,} ({first})."
        yield Finding(FAULT, service_id, words, f"A sync that brings them again mends them. {_A_BACKUP}")


def _of_pages(checkup: Checkup) -> tuple[str, ...]:
    """The faults of the file's pages and indexes, which a look by the helper sets aside and salvages."""
    return tuple(fault for fault in checkup.faults if not fault.startswith("seal:"))


def _repair() -> str:
    return typed("doctor --repair")


def _dropped(end: Findings) -> str:
    return f"Its end was unfinished after a crash: {end.told_dropped}."


def _at_once(_seconds: float) -> None:
    """Somebody waits for the answer."""

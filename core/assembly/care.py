"""What became of the stores after a crash, and in the core's rounds: found out, remembered, and told to the owner."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import apsw

from core.assembly.stores import Stores
from core.model.clock import Clock
from core.model.commands import typed
from core.model.errors import FileDamaged, LockerError, Retry, WriterBusy
from core.registry import Service, Services
from core.store import CoreDb, Findings, Reader, damage_of, is_settled, recover
from core.web import Notice

log = logging.getLogger(__name__)

RECOVER = "recover"
# The owner's own notes and tags: the core's store, of no service.
OWN = "owner"
# A store as large as any is examined within it; the child's own time to start begins afterwards.
SETTLE_S = 600.0
TOLD_S = 30 * 86400.0
BUSY_S = 5.0

_PUT = """
    INSERT INTO store_care (uid, deed, at, trouble) VALUES (?, ?, ?, ?)
    ON CONFLICT (uid, deed) DO UPDATE SET at = excluded.at, trouble = excluded.trouble
"""
_ALL = "SELECT uid, deed, at, trouble FROM store_care"
_OF = "SELECT deed, at, trouble FROM store_care WHERE uid = ?"
_FORGET = "DELETE FROM store_care WHERE uid = ?"
_HEARD_OF = "SELECT max(seq) FROM position WHERE log = ?"


class StoreCare:
    """Sees to it that nobody writes a store that a crash left in disorder. Any thread may ask; `settle` is the loop's.

    `stores` are the core's own readers, which let go of a store while it is looked at.
    """

    def __init__(self, me: Path, services: Services, stores: Stores, *, coredb: CoreDb, clock: Clock) -> None:
        self._me = me
        self._services = services
        self._stores = stores
        self._coredb = coredb
        self._clock = clock
        self._settling: dict[str, asyncio.Task[None]] = {}
        self._stranded: set[str] = set()

    def check(self, service_id: str) -> None:
        """Raise FileDamaged where the service's store waits for its owner."""
        found = self.damage(service_id)
        if found is not None:
            self._stranded.add(service_id)
            words = _damage_of(service_id, found, heard_of=self._heard_of(service_id))
            raise FileDamaged(words, remedy=_cure_of(service_id, self._me))
        self._stranded.discard(service_id)

    def stranded(self, service_id: str) -> Reader | None:
        """What reads a damaged store that waits for its owner; None for any other. Asked for every request."""
        if service_id not in self._stranded:
            return None
        with contextlib.suppress(FileDamaged):
            self.check(service_id)
            return None
        with contextlib.suppress(LockerError):
            return self._stores.reading(service_id)
        return None

    def damage(self, service_id: str) -> Findings | None:
        """What is known of a damaged store that waits for its owner; None where it is in order."""
        return damage_of(self._me / service_id)

    async def settle(self, service_id: str) -> None:
        """Bring the store to where a child may open it, with nobody of the core reading it meanwhile.

        Raises FileDamaged where it waits for its owner, Retry where another process writes it, or where it takes longer
        than a child's start can wait: the examination then goes on, and the next start finds what it came to.
        """
        folder = self._me / service_id
        if not await asyncio.to_thread(is_settled, folder):
            task = self._settling.get(service_id)
            if task is None:
                task = asyncio.create_task(asyncio.to_thread(self._recover, service_id), name=f"settle {service_id}")
                self._settling[service_id] = task
                task.add_done_callback(lambda done: self._settled(service_id, done))
            done, _ = await asyncio.wait([task], timeout=SETTLE_S)
            if not done:
                raise Retry(f"the store of {service_id} is still looked at after a crash", retry_after_s=30.0)
            task.result()
        self.check(service_id)

    @contextlib.contextmanager
    def opening(self, service: Service) -> Iterator[None]:
        """While the core opens a store to write it, its own readers are out of the way."""
        if is_settled(self._me / service.id):
            yield
            return
        with self._stores.resting(service.id):
            yield

    def found(self, service: Service, found: Findings | None) -> None:
        """Keep what opening a store brought to light, for the owner to be told."""
        if found is not None and found.verdict == "tail_dropped":
            self.note(service, RECOVER, trouble=_dropped(service.id, found))

    def found_own(self, found: Findings | None) -> None:
        """The same of the core's own store."""
        if found is not None and found.verdict == "tail_dropped":
            self._put(OWN, RECOVER, _dropped(OWN, found))

    def note(self, service: Service, deed: str, *, trouble: str = "") -> None:
        """Keep that a deed was done now, and what of it the owner should know."""
        self._put(service.uid, deed, trouble)

    def done(self, service: Service) -> dict[str, tuple[float, str]]:
        """When each deed was last done for the service's store, and what was wrong."""
        return {str(deed): (float(at), str(trouble)) for deed, at, trouble in self._coredb.read(_OF, (service.uid,))}

    def told(self, service_id: str) -> dict[str, tuple[float, str]]:
        """The same by the service's id; raises NotFound."""
        return self.done(self._services.get(service_id))

    def forget_others(self) -> None:
        """Keep nothing of stores that are gone."""
        known = {OWN, *(service.uid for service in (*self._services.list(), *self._services.kept()))}
        gone = {uid for uid, *_ in self._coredb.read(_ALL)} - known

        def forget(db: apsw.Connection) -> None:
            db.executemany(_FORGET, ((uid,) for uid in gone))

        if gone:
            self._coredb.write(forget)

    def notices(self) -> list[Notice]:
        """What the owner should know of the stores, the damaged ones first."""
        notices: list[Notice] = []
        kept: dict[str, list[str]] = {}
        oldest = self._clock.now() - TOLD_S
        for uid, _deed, at, trouble in self._coredb.read(_ALL):
            if trouble and at > oldest:
                kept.setdefault(str(uid), []).append(str(trouble))
        for service in self._services.list():
            place = f"/services/{service.id}"
            try:
                self.check(service.id)
            except FileDamaged as err:
                notices.insert(0, Notice(f"{err.detail} {err.remedy}", place, f"Look at {service.title}"))
            notices += [Notice(text, place, f"Look at {service.title}") for text in kept.get(service.uid, ())]
        return [*notices, *(Notice(text) for text in kept.get(OWN, ()))]

    def _heard_of(self, service_id: str) -> int:
        """The last position of the service's log that a listener was told of; 0 where none was."""
        with contextlib.suppress(LockerError):
            ((seq,),) = self._coredb.read(_HEARD_OF, (self._services.get(service_id).uid,))
            return int(seq or 0)
        return 0

    def _put(self, uid: str, deed: str, trouble: str) -> None:
        row = (uid, deed, self._clock.now(), trouble)

        def put(db: apsw.Connection) -> None:
            db.execute(_PUT, row)

        self._coredb.write(put)

    def _recover(self, service_id: str) -> None:
        with self._stores.resting(service_id):
            try:
                found = recover(self._me / service_id, clock=self._clock)
            except WriterBusy as busy:
                raise Retry(f"another process writes the store of {service_id}", retry_after_s=BUSY_S) from busy
        with contextlib.suppress(LockerError):
            self.found(self._services.get(service_id), found)

    def _settled(self, service_id: str, task: asyncio.Task[None]) -> None:
        self._settling.pop(service_id, None)
        if not task.cancelled() and task.exception() is not None:
            log.warning("store not settled id=%s: %s", service_id, task.exception())


def _damage_of(service_id: str, found: Findings, *, heard_of: int) -> str:
    beyond = f"Listeners were told of facts up to position {heard_of:,}. " if heard_of > found.head else ""
    return (
        f"The store of {service_id} is damaged: {found.told_salvaged}. {beyond}"
        "Nothing was changed; what it holds can be read as far as it goes."
    )


def _cure_of(service_id: str, me: Path) -> str:
    take_it = typed(f"doctor --accept-salvage {service_id}", me=me)
    return f"Restore a backup, or take what was salvaged: {take_it}"


def _dropped(service_id: str, found: Findings) -> str:
    return (
        f"The end of the store of {service_id} was unfinished after a crash: {found.told_dropped}. "
        f"They are kept aside as {', '.join(found.aside)}; "
        "the next sync brings what the source still has."
    )

"""The core's rounds over all stores: each looked through once a week, and let go of what its owner does not keep.

When something was last done is in core.db, so a restart neither forgets nor repeats it. One store is cared for at a
time, beside whoever writes and reads it, with a fifth of the time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.assembly.care import StoreCare
from core.assembly.stores import Stores
from core.model.clock import Clock
from core.model.commands import typed
from core.model.errors import FactDamaged, FileDamaged, LockerError, Retry
from core.registry import Service, Services
from core.store import FilesVerified, Reader, Store, Verification

log = logging.getLogger(__name__)

DAY_S = 86400.0
LOOK_S = 60.0
# What could not be done is tried again after this, not at each look.
AGAIN_S = 3600.0
WAIT_S_MAX = 30.0
STOP_S = 1.0
POSITIONS_TOLD = 5
CORE = "core"

COMPACT_PATH, COLLECT_PATH = "/retention/compact", "/files/collect"


@dataclass(frozen=True)
class Deed:
    """Something done for every store again and again; `do` answers what the owner should know of it, or nothing."""

    name: str
    every_s: float
    do: Callable[[Service, Reader], str]


class Rounds:
    """Cares for the stores from `start` to `stop`, on a thread of its own; `look` does what is due by now.

    `kept` gives the store of a service that the core writes; `ask_child` has the service's child do what only the
    writer may, and raises its refusal.
    """

    def __init__(
        self,
        me: Path,
        services: Services,
        stores: Stores,
        *,
        care: StoreCare,
        kept: Callable[[str], Store | None],
        ask_child: Callable[[str, str], None],
        clock: Clock,
    ) -> None:
        self._me = me
        self._services = services
        self._stores = stores
        self._care = care
        self._kept = kept
        self._ask_child = ask_child
        self._clock = clock
        self._stopped = threading.Event()
        self._not_before: dict[tuple[str, str], float] = {}
        self._thread: threading.Thread | None = None
        self._deeds = (
            Deed("compact", DAY_S, self._compact),
            Deed("verify", 7 * DAY_S, self._verify),
            Deed("verify_files", 30 * DAY_S, self._verify_files),
            Deed("collect", 30 * DAY_S, self._collect),
        )

    def start(self) -> None:
        """Begin to look, now and then."""
        self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Break off what is under way; it is done anew after the next start."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def look(self) -> list[tuple[str, str]]:
        """Do what is due, one after the other; which deeds were done for which service."""
        done: list[tuple[str, str]] = []
        for service in self._services.list():
            for deed in self._deeds:
                if self._stopped.is_set():
                    return done
                if self._is_due(service, deed) and self._did(service, deed):
                    done.append((service.id, deed.name))
        with suppress(LockerError):
            self._care.forget_others()
        return done

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_S):
            try:
                self.look()
            except Exception:
                log.exception("a round over the stores broke off")

    def _is_due(self, service: Service, deed: Deed) -> bool:
        now = self._clock.now()
        if self._clock.monotonic() < self._not_before.get((service.uid, deed.name), 0.0):
            return False
        last, _ = self._care.done(service).get(deed.name, (service.installed_at, ""))
        # A clock that was set back must not put everything off.
        return now - last >= deed.every_s or last > now + DAY_S

    def _did(self, service: Service, deed: Deed) -> bool:
        """Whether the deed is done, whatever it found; else it is tried again later."""
        try:
            if self._stores.rests(service.id) or self._care.damage(service.id) is not None:
                return False
            with Reader.open(self._me / service.id, types={}) as reader:
                trouble = deed.do(service, reader) if reader.epoch() else ""
        except (FileDamaged, FactDamaged) as err:
            trouble = f"The store of {service.id} cannot be read: {err.detail} {_see_doctor(self._me)}"
        except LockerError as err:
            log.info("put off deed=%s id=%s: %s", deed.name, service.id, err)
            self._not_before[service.uid, deed.name] = self._clock.monotonic() + AGAIN_S
            return False
        if trouble:
            log.error("store in trouble deed=%s id=%s: %s", deed.name, service.id, trouble)
        self._care.note(service, deed.name, trouble=trouble)
        return True

    def _verify(self, service: Service, reader: Reader) -> str:
        store = self._kept(service.id)
        # The writer's own keeps the result in the store too, for its status.
        found = (store or reader).verify(wait=self._waiting(service))
        return "" if found.is_whole else _bad_facts(service.id, found, self._me)

    def _verify_files(self, service: Service, reader: Reader) -> str:
        found = reader.files.verify_files(wait=self._waiting(service))
        return _bad_files(service.id, found) if found.damaged_count else ""

    def _compact(self, service: Service, reader: Reader) -> str:
        if reader.policies():
            self._have_written(service, lambda store: store.compact(actor=CORE), COMPACT_PATH)
        return ""

    def _collect(self, service: Service, reader: Reader) -> str:
        if reader.files.recount().files:
            self._have_written(service, lambda store: store.collect_garbage(actor=CORE), COLLECT_PATH)
        return ""

    def _have_written(self, service: Service, do: Callable[[Store], object], path: str) -> None:
        """Do it to a store that the core writes; else its child does it, which is put off while it is switched off."""
        store = self._kept(service.id)
        if store is not None:
            do(store)
        elif not service.enabled:
            raise Retry(f"{service.id} is switched off")
        else:
            self._ask_child(service.id, path)

    def _waiting(self, service: Service) -> Callable[[float], None]:
        """How a long look makes room for others, and ends where the core does or the store changes hands."""

        def wait(seconds: float) -> None:
            if self._stopped.wait(min(seconds, WAIT_S_MAX)):
                raise Retry("Locker is stopping")
            if self._stores.rests(service.id):
                raise Retry(f"the store of {service.id} is needed elsewhere")

        return wait


def _see_doctor(me: Path) -> str:
    return f"See: {typed('doctor', me=me)}"


def _bad_facts(service_id: str, found: Verification, me: Path) -> str:
    told = [f"facts that are not what was written: {found.bad_count}"] if found.bad_count else []
    told += [f"stretches of the log that lack facts: {len(found.broken)}"] if found.broken else []
    first = ", ".join(map(str, found.bad[:POSITIONS_TOLD]))
    at = f" (positions {first}{', …' if found.bad_count > POSITIONS_TOLD else ''})" if first else ""
    what = f"The store of {service_id} has {' and '.join(told)}{at}"
    return f"{what}. Only a backup holds what they said. {_see_doctor(me)}"


def _bad_files(service_id: str, found: FilesVerified) -> str:
    first = ", ".join(name[:16] for name in found.damaged[:POSITIONS_TOLD])
    return (
        f"The files of {service_id} that are not what was put there: {found.damaged_count} ({first}). "
        "Putting the same content again mends them, as does a backup."
    )

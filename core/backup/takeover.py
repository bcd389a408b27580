"""After a restore: what rests, and letting it go on once the owner says that this device is the one that does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from core.backup.restoring import RESTORED, Restored, restored_in
from core.model.clock import Clock, iso
from core.model.commands import typed
from core.model.errors import NotFound, UserActionNeeded
from core.registry import Service, let_sync
from core.store import Documents
from core.vault import sync_folder


def take_over_command(me: Path) -> str:
    """What the owner types to let the restored services of this Me sync from this device."""
    return typed("restore --take-over", me=me)


def restore_notices(me: Path) -> list[str]:
    """What the owner is told on the dashboard for as long as the restored services rest."""
    restored = restored_in(me)
    if restored is None:
        return []
    secrets = "" if restored.has_secrets else "Its secrets were not: the accounts need a sign-in. "
    return [
        f"Everything here was restored from a backup of {iso(restored.made_at)[:16].replace('T', ' ')} UTC. {secrets}"
        "No service syncs until you say that this device takes over from the one that was saved: "
        + take_over_command(me)
    ]


def rest_of(me: Path, service: Service) -> str:
    """The take-over command, where the service came back from a backup and waits for it; else empty."""
    is_at_rest = service.paused and service.has_come_back and restored_in(me) is not None
    return take_over_command(me) if is_at_rest else ""


def check_awake(me: Path, service: Service) -> None:
    """Raise UserActionNeeded where the service rests since the restore: it may neither sync nor be resumed."""
    if command := rest_of(me, service):
        raise UserActionNeeded(
            f"{service.id} rests: it came back from a backup, and this device has not taken over",
            remedy=f"If the device that was saved syncs no more, let this one take over: {command}",
        )


def waiting_in(me: Path) -> Restored:
    """What the restore of this Me left to be decided; NotFound where nothing waits."""
    restored = restored_in(me)
    if restored is None:
        raise NotFound(
            f"{me} was not restored, or this device has taken over already.", remedy="There is nothing to do."
        )
    return restored


def take_over(me: Path, clock: Clock) -> tuple[str, ...]:
    """Let the restored services of a Me that no core runs over sync again; their ids. Again does nothing."""
    restored = restored_in(me)
    if restored is None:
        return ()
    with contextlib.closing(Documents(me / "locker.json", clock)) as documents:
        woken = let_sync(documents, restored.resting)
    forget_restore(me)
    return woken


def forget_restore(me: Path) -> None:
    """Nothing waits any more."""
    (me / RESTORED).unlink(missing_ok=True)
    sync_folder(me)


def still_there(restored: Restored, installed: Iterable[str]) -> tuple[str, ...]:
    """The services that rest since the restore and are still installed."""
    known = set(installed)
    return tuple(service_id for service_id in restored.resting if service_id in known)

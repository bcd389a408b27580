"""What happens to a file of the core's own that cannot be read: set aside under another name, and told."""

from __future__ import annotations

import logging
from pathlib import Path

from core.model.clock import Clock, iso
from core.model.errors import FileDamaged
from core.store import CoreDb

log = logging.getLogger(__name__)

_BESIDE = ("", "-wal", "-shm", "-journal")


def open_coredb(path: Path, clock: Clock) -> tuple[CoreDb, FileDamaged | None]:
    """core.db, and what the owner must know of it; a damaged one is renamed and a new one begun.

    Records are in the services' own stores and are not touched: what is lost are pending calls (every stream gets a
    new one), the diary, and how far each listener has heard (it hears from now on).
    """
    try:
        return CoreDb.open(path), None
    except FileDamaged as err:
        aside = f"damaged-{iso(clock.now()).replace(':', '')}"
        for suffix in _BESIDE:
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(path.with_name(f"{path.name}.{aside}{suffix}"))
        log.error("core.db was damaged and is set aside name=%s.%s: %s", path.name, aside, err)
        notice = FileDamaged(
            f"{path} could not be read and was set aside as {path.name}.{aside}; the diary and the positions of "
            "listeners begin anew.",
            remedy="Records are untouched. Restore the file from a backup if you miss what was in it.",
        )
        return CoreDb.open(path), notice

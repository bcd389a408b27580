"""Logs that go on in another epoch, since what was made in them may be known elsewhere and is not here.

Those of services that came back from a backup rest until their owner says who goes on.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from tinydb.table import Table

from core.model.errors import NotFound
from core.registry.records import TABLE, State
from core.registry.service import FIRST_EPOCH, FOLDER_EPOCHS
from core.store import Documents

# Of the device itself: which incarnation of the owner's own log is written here.
DEVICE_TABLE = "device"


def begin_anew(documents: Documents) -> tuple[str, ...]:
    """Give every log its next epoch and let no service sync; the ids of those that did until now.

    Facts made from here on can then never be taken for others of the same number, made after the backup elsewhere.
    """
    with documents.lock:
        table = documents.table(TABLE)
        resting = []
        for row in table.all():
            epoch = row.get("origin_epoch", FIRST_EPOCH)
            change: dict[str, object] = {"origin_epoch": (epoch if isinstance(epoch, int) else FIRST_EPOCH) + 1}
            # What is kept of an uninstalled service does not sync; installing it again is the owner's word.
            if row.get("state", State.INSTALLED) == State.INSTALLED and not row.get("paused"):
                resting.append(str(row.get("id")))
                change["paused"] = True
            table.update(change, doc_ids=[row.doc_id])
        _put(documents.table(DEVICE_TABLE), owner_epoch(documents) + 1)
    return tuple(resting)


def begin_in_new_folder(documents: Documents, service_id: str) -> int:
    """Give the log of a service whose folder is gone an epoch that nothing in it had; the epoch."""
    with documents.lock:
        table = documents.table(TABLE)
        for row in table.all():
            if row.get("id") == service_id and row.get("state", State.INSTALLED) == State.INSTALLED:
                epoch = row.get("origin_epoch", FIRST_EPOCH) + FOLDER_EPOCHS
                table.update({"origin_epoch": epoch}, doc_ids=[row.doc_id])
                return int(epoch)
    raise NotFound(f"there is no service {service_id!r}")


def let_sync(documents: Documents, service_ids: Collection[str]) -> tuple[str, ...]:
    """Let those of these services sync again that are there; their ids."""
    with documents.lock:
        table = documents.table(TABLE)
        found = [row for row in table.all() if row.get("id") in service_ids and row.get("paused")]
        for row in found:
            table.update({"paused": False}, doc_ids=[row.doc_id])
    return tuple(str(row["id"]) for row in found)


def begin_owner_log(documents: Documents, folder: Path) -> int:
    """The epoch of the owner's own log, for whoever opens its store in `folder`; another one where that is gone."""
    with documents.lock:
        table = documents.table(DEVICE_TABLE)
        epoch, was_begun = owner_epoch(documents), bool(table.all())
        is_gone = was_begun and not os.path.lexists(folder)
        if is_gone:
            epoch += FOLDER_EPOCHS
        if is_gone or not was_begun:
            _put(table, epoch)
        return epoch


def owner_epoch(documents: Documents) -> int:
    """Which incarnation of the owner's own log this Me writes."""
    rows: Sequence[dict[str, object]] = documents.table(DEVICE_TABLE).all()
    epochs = [row.get("origin_epoch") for row in rows]
    return max((epoch for epoch in epochs if isinstance(epoch, int)), default=FIRST_EPOCH)


def _put(table: Table, epoch: int) -> None:
    rows = table.all()
    if rows:
        table.update({"origin_epoch": epoch}, doc_ids=[rows[0].doc_id])
    else:
        table.insert({"origin_epoch": epoch})

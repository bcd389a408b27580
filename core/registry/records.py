"""The services that are remembered, in the table of Me/locker.json that holds them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

import msgspec
from tinydb.table import Document, Table

from core.model.ids import is_service_id
from core.registry.service import Service
from core.store import Documents

TABLE = "services"

log = logging.getLogger(__name__)


class State(StrEnum):
    """What a record stands for."""

    INSTALLED = "installed"
    #: Uninstalled, with its data kept; installing it again takes up where it left off.
    KEPT = "kept"
    #: Half made or half erased: what there is of it goes at the next start.
    UNFINISHED = "unfinished"


class ServiceRecords:
    """All records, in memory and in the table; each change is durable when the call returns.

    Reading waits for nobody, not even for a change that is being written. A record that cannot be read,
    after an edit by hand, is left as it stands and told in `notices`.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        # Replaced whole, never changed: by uid, in the order of the ids.
        self._records: Mapping[str, tuple[Service, State]] = {}
        self.notices: list[str] = []
        self.unreadable_ids: set[str] = set()
        for document in self._table:
            self._load(document)

    def of_state(self, state: State) -> dict[str, Service]:
        """The installed or kept services by their id, in the order of the ids."""
        return {service.id: service for service, its in self._records.values() if its is state}

    def unfinished(self) -> tuple[Service, ...]:
        """The services of which something is still to be erased; several may have had one id."""
        return tuple(service for service, its in self._records.values() if its is State.UNFINISHED)

    def put(self, service: Service, state: State) -> None:
        """Remember `service` in `state`, in place of what was known under its uid."""
        row = {**msgspec.to_builtins(service), "state": state.value}
        with self._lock:
            if service.uid in self._numbers:
                self._table.update(row, doc_ids=[self._numbers[service.uid]])
            else:
                self._numbers[service.uid] = self._table.insert(row)
            self._hold({**self._records, service.uid: (service, state)})

    def drop(self, uid: str) -> None:
        """Forget the service for good."""
        with self._lock:
            if uid in self._numbers:
                self._table.remove(doc_ids=[self._numbers[uid]])
                del self._numbers[uid]
            self._hold({known: record for known, record in self._records.items() if known != uid})

    def _hold(self, records: Mapping[str, tuple[Service, State]]) -> None:
        self._records = dict(sorted(records.items(), key=lambda item: item[1][0].id))

    @property
    def _table(self) -> Table:
        return self._documents.table(TABLE)

    def _load(self, document: Document) -> None:
        try:
            service = msgspec.convert(dict(document), Service)
            state = State(document.get("state", State.INSTALLED))
            self._check(service, state)
        except (msgspec.ValidationError, ValueError) as err:
            self.notices.append(f"Record {document.doc_id} of the services in locker.json cannot be read: {err}.")
            self.unreadable_ids.add(str(document.get("id", "")))
            log.error("service record cannot be read number=%d reason=%s", document.doc_id, err)
            return
        self._numbers[service.uid] = document.doc_id
        self._hold({**self._records, service.uid: (service, state)})

    def _check(self, service: Service, state: State) -> None:
        """The uid becomes part of a folder's name when the service is erased, so it must be one."""
        if not is_service_id(service.id) or str(UUID(service.uid)) != service.uid:
            raise ValueError("its id or uid is none")
        ids = {known.id for known, its in self._records.values() if its is not State.UNFINISHED}
        if service.uid in self._records or (state is not State.UNFINISHED and service.id in ids):
            raise ValueError("its id or uid stands twice")

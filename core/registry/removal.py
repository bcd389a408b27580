"""Erases what there is of a service, in steps that a crash can interrupt and the next start finishes."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from core.model.errors import FolderUnusable
from core.registry.folders import erase
from core.registry.records import ServiceRecords, State
from core.registry.service import Service

log = logging.getLogger(__name__)


class Removal:
    """Erases services whose record says `unfinished`: first the folder gets another name, which frees the id,
    then it is emptied, and the record goes last."""

    def __init__(self, records: ServiceRecords, me: Path) -> None:
        self._records = records
        self._me = me
        self._notices: dict[str, str] = {}

    @property
    def notices(self) -> Sequence[str]:
        """Sentences about what resisted."""
        return tuple(self._notices.values())

    def erase(self, service: Service) -> None:
        """Remove folder and record of `service`; raises FolderUnusable, and then `finish` tries again."""
        folder, grave = self._me / service.id, self._me / f".erasing-{service.uid}"
        try:
            if self._is_still(service, folder) and not os.path.lexists(grave):
                _rename(folder, grave)
            erase(grave)
        except FolderUnusable as err:
            self._notices[service.uid] = f"{service.title} is uninstalled, but its data is not all gone: {err}."
            raise
        self._notices.pop(service.uid, None)
        self._records.drop(service.uid)

    def finish(self) -> None:
        """Erase everything that an earlier run left unfinished; what resists is told in `notices`."""
        for service in self._records.unfinished():
            try:
                self.erase(service)
                log.info("erasing finished id=%s", service.id)
            except FolderUnusable as err:
                log.warning("erasing not finished id=%s reason=%s", service.id, err)

    def _is_still(self, service: Service, folder: Path) -> bool:
        """Whether the folder of that name is this service's: another one may have the id by now."""
        others = self._records.of_state(State.INSTALLED) | self._records.of_state(State.KEPT)
        return service.id not in others and os.path.lexists(folder)


def _rename(folder: Path, grave: Path) -> None:
    try:
        folder.rename(grave)
    except OSError as err:
        raise FolderUnusable(f"{folder} cannot be moved: {err.strerror}") from err

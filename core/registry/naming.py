"""What a service is called: its id and its title, chosen for it where nobody names one, checked where somebody does."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from core.model.errors import BadRequest, Conflict
from core.model.ids import check_service_id
from core.model.manifest import Manifest
from core.registry.folders import is_unclaimed
from core.registry.records import ServiceRecords, State

ID_CHARS_MAX = 64
TITLE_CHARS_MAX = 80
SERVICES_MAX = 1000

# Controls, direction marks and their like, halves of characters.
_STEERING = frozenset({"Cc", "Cf", "Cs"})
# Persian, the scripts of India and joined emoji need the joiners.
_JOINERS = "\u200c\u200d"
# A flag of a part of a country, England's for one, is a black flag and that part's code in tag characters.
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
# Letters and symbols by their kind, empty to the eye: the Hangul fillers and the blank of Braille.
_BLANK = "\u115f\u1160\u3164\uffa0\u2800"


class Naming:
    """Chooses an id that no record and no folder of `me` has yet, or one under which the connector's data was kept."""

    def __init__(self, records: ServiceRecords, me: Path) -> None:
        self._records = records
        self._me = me

    def chosen(self, manifest: Manifest, wanted: str | None) -> str:
        """The id for a new service of `manifest`; raises BadRequest or Conflict when `wanted` cannot be had."""
        if len(self._records.of_state(State.INSTALLED)) >= SERVICES_MAX:
            raise Conflict(f"there are {SERVICES_MAX} services already", remedy="Uninstall one that is not needed.")
        if wanted is not None:
            check_service_id(wanted)
            obstacle = self._obstacle(manifest, wanted)
            if obstacle is not None:
                raise obstacle
            return wanted
        candidates = (_numbered(manifest.name, number) for number in range(1, 2 * SERVICES_MAX))
        chosen = next((name for name in candidates if self._obstacle(manifest, name) is None), None)
        if chosen is None:
            raise Conflict(f"every id that begins with {manifest.name} is taken", remedy="Give the service an id.")
        return chosen

    def title_of(self, manifest: Manifest) -> str:
        """The connector's title, with the first free number where a service has that title already."""
        taken = {service.title for service in self._records.of_state(State.INSTALLED).values()}
        endings = ("" if number == 1 else f" {number}" for number in range(1, SERVICES_MAX + 2))
        titles = (manifest.title[: TITLE_CHARS_MAX - len(ending)] + ending for ending in endings)
        return next(title for title in titles if title not in taken)

    def _obstacle(self, manifest: Manifest, service_id: str) -> Conflict | None:
        if service_id in self._records.of_state(State.INSTALLED) or service_id in self._records.unreadable_ids:
            return Conflict(
                f"there is a service {service_id} already",
                remedy="Install it under another id: at a terminal with --id.",
            )
        kept = self._records.of_state(State.KEPT).get(service_id)
        if kept is not None:
            if kept.connector == manifest.name:
                return None
            return Conflict(
                f"the data of {kept.connector} was kept under {service_id}",
                remedy="Erase that first, or install under another id.",
            )
        if not is_unclaimed(self._me / service_id):
            return Conflict(
                f"{self._me / service_id} holds files that belong to no service",
                remedy="Move that folder away, or install under another id.",
            )
        return None


def checked_title(title: str) -> str:
    """A title that a person chose, its blanks made one; raises BadRequest for one that does not show what it is."""
    title = " ".join(title.split())
    if not 1 <= len(title) <= TITLE_CHARS_MAX:
        raise BadRequest(f"a title has 1 to {TITLE_CHARS_MAX} characters")
    shown = [letter for letter in _FLAG.sub("\U0001f3f4", title) if letter not in _JOINERS]
    if any(unicodedata.category(letter) in _STEERING for letter in shown):
        raise BadRequest("a title holds no control characters, and none that change how the others are shown")
    if all(letter in _BLANK or unicodedata.category(letter)[0] in "MZ" for letter in shown):
        raise BadRequest("a title has at least one character that can be seen")
    return title


def _numbered(name: str, number: int) -> str:
    ending = "" if number == 1 else f"-{number}"
    return name[: ID_CHARS_MAX - len(ending)] + ending

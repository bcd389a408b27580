"""What the owner should know, and what of it they have put away for good."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from core.model.clock import Clock
from core.model.errors import NotFound
from core.store import Documents
from core.web.parts import Notice

PUT_AWAY_MAX = 200
KEY_LENGTH = 16
_TABLE = "notices_put_away"


class Notices:
    """The notices of all rooms. Any thread may ask; what was put away is remembered by its text."""

    def __init__(self, found: Callable[[], Sequence[Notice]], documents: Documents, clock: Clock) -> None:
        self._found = found
        self._documents = documents
        self._clock = clock

    def all(self) -> Sequence[Notice]:
        """Everything that is so now, put away or not."""
        return list(self._found())

    def fresh(self) -> Sequence[Notice]:
        """What has not been put away and is more than standing advice."""
        urgent = [notice for notice in self._found() if not notice.is_advice]
        away = {str(document["text"]) for document in self._documents.table(_TABLE).all()} if urgent else set()
        return [notice for notice in urgent if notice.text not in away]

    def put_away(self, key: str) -> None:
        """Show the notice of that key no more at the front; NotFound when there is none."""
        text = next((notice.text for notice in self.fresh() if key_of(notice) == key), None)
        if text is None:
            raise NotFound(f"There is no notice {key[:KEY_LENGTH]!r}.")
        table = self._documents.table(_TABLE)
        with self._documents.lock:
            numbers = sorted(document.doc_id for document in table.all())
            if len(numbers) >= PUT_AWAY_MAX:
                table.remove(doc_ids=numbers[: len(numbers) - PUT_AWAY_MAX + 1])
            table.insert({"text": text, "at": self._clock.now()})


def key_of(notice: Notice) -> str:
    """The notice's name in addresses: the same text has the same one."""
    return hashlib.sha256(notice.text.encode("utf-8", "surrogateescape")).hexdigest()[:KEY_LENGTH]

"""Tokens that the owner makes for scripts and apps: shown once, kept as hashes."""

from __future__ import annotations

import hmac
import logging
import secrets
import threading
from collections.abc import Sequence

import msgspec

from core.model.clock import Clock
from core.model.errors import BadRequest, Conflict, NotFound
from core.store import CoreDb, Documents
from core.web.caller import SCOPES, Caller
from core.web.passes import SECRET_BYTES, digest

log = logging.getLogger(__name__)

TOKENS_MAX = 100
LABEL_LENGTH_MAX = 80
USE_NOTED_EVERY_S = 60.0
TOKEN_PREFIX = "lk_"  # noqa: S105 -- the visible beginning of a token, not one
_TABLE = "tokens"
_NOTE_USE = (
    "INSERT INTO token_use (token_id, last_used) VALUES (?, ?) "
    "ON CONFLICT (token_id) DO UPDATE SET last_used = excluded.last_used"
)
_FORGET_USE = "DELETE FROM token_use WHERE token_id = ?"
_USES = "SELECT token_id, last_used FROM token_use"


class AppToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token as its owner sees it afterwards: never the token itself."""

    id: str
    label: str
    scopes: tuple[str, ...]
    created_at: float
    last_used: float | None = None


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    label: str
    scopes: tuple[str, ...]
    created_at: float
    hash: str


class AppTokens:
    """The owner's tokens. Any thread may call; `caller_of` answers from memory."""

    def __init__(self, documents: Documents, coredb: CoreDb, clock: Clock) -> None:
        self._documents = documents
        self._coredb = coredb
        self._clock = clock
        self._lock = threading.Lock()
        self._rows: dict[bytes, _Row] = {}
        self._noted: dict[str, float] = {}
        for document in documents.table(_TABLE).all():
            try:
                row = msgspec.convert(dict(document), _Row)
                self._rows[bytes.fromhex(row.hash)] = row
            except (msgspec.ValidationError, ValueError) as err:
                # After an edit by hand; it opens nothing, and keeps neither the others nor the core from working.
                log.error("a token in locker.json cannot be read number=%d reason=%s", document.doc_id, err)

    def list(self) -> Sequence[AppToken]:
        """Every token, oldest first, with its last use to the minute."""
        uses: dict[str, float] = dict(self._coredb.read(_USES))
        rows = sorted(self._rows.values(), key=lambda row: (row.created_at, row.id))
        return [
            AppToken(
                id=row.id, label=row.label, scopes=row.scopes, created_at=row.created_at, last_used=uses.get(row.id)
            )
            for row in rows
        ]

    def create(self, label: str, scopes: Sequence[str]) -> tuple[AppToken, str]:
        """A new token and its text, which is not kept: show it now."""
        _check(label, scopes)
        token = TOKEN_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        key = digest(token)
        with self._lock:
            if len(self._rows) >= TOKENS_MAX:
                raise Conflict(f"there are {TOKENS_MAX} tokens already", remedy="Delete one that is not used.")
            row = _Row(
                id=secrets.token_hex(4),
                label=label.strip(),
                scopes=tuple(scopes),
                created_at=self._clock.now(),
                hash=key.hex(),
            )
            with self._documents.lock:
                self._documents.table(_TABLE).insert(msgspec.to_builtins(row))
            self._rows = {**self._rows, key: row}
        return AppToken(id=row.id, label=row.label, scopes=row.scopes, created_at=row.created_at), token

    def delete(self, token_id: str) -> None:
        """Make a token worthless from now on; NotFound when there is none of that id."""
        with self._lock:
            kept = {key: row for key, row in self._rows.items() if row.id != token_id}
            if len(kept) == len(self._rows):
                raise NotFound(f"There is no token {token_id[:20]!r}.")
            with self._documents.lock:
                self._documents.table(_TABLE).remove(lambda document: document.get("id") == token_id)
            self._rows = kept
            self._noted.pop(token_id, None)
        self._coredb.write(lambda connection: connection.execute(_FORGET_USE, (token_id,)))

    def caller_of(self, token: str) -> Caller | None:
        """Who asks with this token, or None when it is none of ours."""
        key = digest(token)
        row = self._rows.get(key)
        if row is None or not hmac.compare_digest(bytes.fromhex(row.hash), key):
            return None
        return Caller(actor_of(row.id), row.scopes)

    def should_note_use(self, caller: Caller) -> bool:
        """Whether a use of the caller's token is worth writing: once a minute is enough."""
        now = self._clock.now()
        token_id = caller.actor.removeprefix("app:")
        if now - self._noted.get(token_id, 0.0) < USE_NOTED_EVERY_S:
            return False
        self._noted[token_id] = now
        return True

    def note_use(self, caller: Caller) -> None:
        """Write that the caller's token is in use now."""
        row = (caller.actor.removeprefix("app:"), self._clock.now())
        self._coredb.write(lambda connection: connection.execute(_NOTE_USE, row))


def actor_of(token_id: str) -> str:
    """How one who asks with that token is called."""
    return f"app:{token_id}"


def _check(label: str, scopes: Sequence[str]) -> None:
    if not 1 <= len(label.strip()) <= LABEL_LENGTH_MAX:
        raise BadRequest(f"A token needs a label of 1 to {LABEL_LENGTH_MAX} letters, to know it by later.")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise BadRequest(f"A token's scopes are some of {', '.join(SCOPES)}.")

"""Names and identities: service ids, UUIDv7, device ids, and keys as they stand in a path."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import unicodedata
import uuid

from core.model.errors import BadRequest

SERVICE_ID_CHARS_MAX = 64
SERVICE_ID = re.compile(r"[a-z][a-z0-9-]{0,63}")
TYPE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
ID_RULE = "lower case letters, digits and hyphens, beginning with a letter, at most 64"
RESERVED_SERVICE_IDS = frozenset({"owner", "logs", "core", "key"})
KEY_BYTES_MAX = 512

UUID7_RANDOM_BYTES = 10

_UUID7_RANDOM = ((1 << 12) - 1) << 64 | ((1 << 61) - 1)
_NOT_OF_IDS = re.compile(r"[^a-z0-9]+")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]{1,200}")


def is_service_id(text: str) -> bool:
    """Whether `text` may name a service: lower case, digits and hyphens, not one of the reserved words."""
    return SERVICE_ID.fullmatch(text) is not None and text not in RESERVED_SERVICE_IDS


def check_service_id(text: str) -> None:
    """Raise BadRequest for what cannot name a service."""
    if text in RESERVED_SERVICE_IDS:
        raise BadRequest(f"{text!r} is a word that Locker keeps for itself", remedy="Choose another id.")
    if not is_service_id(text):
        proposed = proposed_id(text)
        example = f": for example {proposed!r}" if proposed else ""
        raise BadRequest(
            f"{text[:64]!r} cannot be a service's id",
            remedy=f"Use {ID_RULE}{example}.",
        )


def proposed_id(text: str) -> str:
    """A service id that is like the text; empty where nothing in it may stand in one.

    >>> proposed_id("My_Notes"), proposed_id("42")
    ('my-notes', '')
    """
    plain = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode("ascii")
    found = _NOT_OF_IDS.sub("-", plain).lstrip("-0123456789")[:SERVICE_ID_CHARS_MAX].rstrip("-")
    return found if is_service_id(found) else ""


def uuid7(now_s: float, random_bytes: bytes | None = None) -> uuid.UUID:
    """A time-ordered UUID version 7 (RFC 9562 section 5.7) for the moment `now_s`; `random_bytes` has 10 bytes."""
    tail = os.urandom(UUID7_RANDOM_BYTES) if random_bytes is None else random_bytes
    return uuid.UUID(int=uuid7_number(now_s, tail))


def uuid7_number(now_s: float, random_bytes: bytes) -> int:
    """A UUIDv7 for the moment `now_s` as a 128-bit number, of which 73 bits are from the 10 `random_bytes`.

    Counting on from it gives more of that moment, in order (RFC 9562 section 6.2): there is room for 2^61.
    """
    return int(now_s * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | int.from_bytes(random_bytes, "big") & _UUID7_RANDOM


def device_id(subject_public_key_info: bytes) -> str:
    """The device's name: base32 (lower case, unpadded) of the first 20 bytes of SHA-256 over its public key's DER."""
    digest = hashlib.sha256(subject_public_key_info).digest()[:20]
    return base64.b32encode(digest).decode("ascii").rstrip("=").lower()


def key_to_path(key: str) -> str:
    """A record's key as one path segment: itself when plain, else `~` and base64url of its UTF-8.

    `.` and `..` are written in the second form, since a client would resolve them away.
    """
    if _PLAIN_KEY.fullmatch(key) and key not in (".", ".."):
        return key
    return "~" + base64.urlsafe_b64encode(key.encode("utf-8")).decode("ascii").rstrip("=")


def key_from_path(segment: str) -> str:
    """The record's key that `segment` stands for; raises BadRequest when it stands for none."""
    if not segment.startswith("~"):
        if _PLAIN_KEY.fullmatch(segment):
            return segment
        raise BadRequest(f"{segment[:80]!r} is not a key in a path", remedy="Use the href that a record carries.")
    body = segment[1:]
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True).decode("utf-8")
    except ValueError as err:
        raise BadRequest(
            f"{segment[:80]!r} is not base64url after the ~", remedy="Use the href that a record carries."
        ) from err

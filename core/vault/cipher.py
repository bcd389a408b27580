"""Sealing: AES-256-GCM over bytes, and a small sealed file of settings and tokens.

A sealed text is `LKR1`, eight bytes that tell which key was used, a random nonce of twelve, then the
ciphertext with its tag of sixteen. The header and the `context` (what the text is for) are
authenticated too, so a text cannot be moved from one purpose to another.

Every child loads this module at its start, and most never open a sealed file: `cryptography` costs
7 ms, more than half of a warm start, so it is imported where it is first used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from core.model.errors import FileDamaged, FormatTooNew, KeyMissing
from core.vault.private_file import PrivateFile

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
SEALED_BYTES_MAX = 1024 * 1024

_FAMILY = b"LKR"
_MAGIC = _FAMILY + b"1"
_KEY_NAME_BYTES = 8
_HEADER_BYTES = len(_MAGIC) + _KEY_NAME_BYTES
_OVERHEAD_BYTES = _HEADER_BYTES + NONCE_BYTES + TAG_BYTES


def seal(key: bytes, plaintext: bytes, *, context: str) -> bytes:
    """`plaintext` so that only `key` and the same `context` open it, and any change of it shows."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header = _MAGIC + _key_name(key)
    nonce = os.urandom(NONCE_BYTES)
    return header + nonce + AESGCM(key).encrypt(nonce, plaintext, header + context.encode())


def unseal(key: bytes, sealed: bytes, *, context: str) -> bytes:
    """The text sealed under `key` for `context`.

    Raises KeyMissing when another key was used, FormatTooNew when a newer Locker sealed it, and
    FileDamaged when the key is right and the text is not what was sealed, or not for this context.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header, nonce = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES : _HEADER_BYTES + NONCE_BYTES]
    _check_header(key, sealed, context=context)
    try:
        return AESGCM(key).decrypt(nonce, sealed[_HEADER_BYTES + NONCE_BYTES :], header + context.encode())
    except InvalidTag as err:
        raise FileDamaged(f"what was sealed for {context} was changed since, or was sealed for something else") from err


def key_to_text(key: bytes) -> str:
    """The key as it travels in a Greeting: base64url without padding."""
    return base64.urlsafe_b64encode(key).decode("ascii").rstrip("=")


def key_from_text(text: str) -> bytes:
    """The key that `text` stands for; raises KeyMissing when it stands for none."""
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as err:
        raise KeyMissing("the greeting's key is not base64url") from err
    if len(key) != KEY_BYTES:
        raise KeyMissing(f"the greeting's key has {len(key)} bytes instead of {KEY_BYTES}")
    return key


class SealedFile:
    """A JSON object in one sealed file, such as `Me/<id>/auth.sealed`; every write is durable when it returns.

    Core and child may both hold one for the same path; `update` is how either changes its own part of it.
    """

    def __init__(self, path: Path, key: bytes, *, context: str) -> None:
        self.path = path
        self._file = PrivateFile(path, bytes_max=SEALED_BYTES_MAX)
        self._key = key
        self._context = context

    def __repr__(self) -> str:
        return f"SealedFile({str(self.path)!r})"

    def read(self) -> dict[str, Any]:
        """The object, empty when there is no file; raises KeyMissing, FileDamaged or FormatTooNew."""
        sealed = self._file.read()
        return {} if sealed is None else self._open(sealed)

    def write(self, content: dict[str, Any]) -> None:
        """Put `content` in the file's place. A file that cannot be opened is kept beside it, never lost.

        Raises FormatTooNew rather than replacing what a newer Locker sealed.
        """
        sealed = self._sealed(content)
        self._keep_unreadable()
        self._file.replace(sealed)

    def create(self, content: dict[str, Any]) -> bool:
        """Put `content` there unless a file exists; False when one does."""
        return self._file.create(self._sealed(content))

    def update(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """What `change` made of the present object, written; nobody else's update falls in between.

        A file that cannot be opened counts as empty and is kept beside: so the owner can sign in anew.
        """
        with self._file.locked():
            try:
                present = self.read()
            except (KeyMissing, FileDamaged):
                present = {}
            content = change(present)
            self.write(content)
        return content

    def _open(self, sealed: bytes) -> dict[str, Any]:
        try:
            return msgspec.json.decode(unseal(self._key, sealed, context=self._context), type=dict[str, Any])
        except KeyMissing as err:
            raise KeyMissing(f"{self.path} was sealed under another key") from err
        except FormatTooNew as err:
            raise FormatTooNew(f"{self.path} was sealed by a newer Locker") from err
        except (FileDamaged, msgspec.MsgspecError, RecursionError) as err:
            raise FileDamaged(
                f"{self.path} is damaged: it was changed since it was sealed", remedy="Restore it, or sign in again."
            ) from err

    def _sealed(self, content: dict[str, Any]) -> bytes:
        return seal(self._key, msgspec.json.encode(content), context=self._context)

    def _keep_unreadable(self) -> None:
        # The right key may turn up in a backup, so signing in anew must not cost what this one cannot open.
        sealed = self._file.read()
        if sealed is None:
            return
        try:
            self._open(sealed)
        except (KeyMissing, FileDamaged):
            aside = self.path.with_name(f"{self.path.name}.unreadable-{hashlib.sha256(sealed).hexdigest()[:12]}")
            PrivateFile(aside, bytes_max=SEALED_BYTES_MAX).replace(sealed)


def _check_header(key: bytes, sealed: bytes, *, context: str) -> None:
    if len(sealed) < _OVERHEAD_BYTES or not sealed.startswith(_FAMILY):
        raise FileDamaged(f"what should be sealed for {context} is no sealed text")
    version = sealed[len(_FAMILY) : len(_MAGIC)]
    if version != _MAGIC[-1:]:
        if b"2" <= version <= b"9":
            raise FormatTooNew(f"what was sealed for {context} has format {version.decode()}")
        raise FileDamaged(f"what should be sealed for {context} is no sealed text")
    if not hmac.compare_digest(sealed[len(_MAGIC) : _HEADER_BYTES], _key_name(key)):
        raise KeyMissing(f"what was sealed for {context} was sealed under another key")


def _key_name(key: bytes) -> bytes:
    return hmac.digest(key, b"locker key name", "sha256")[:_KEY_NAME_BYTES]

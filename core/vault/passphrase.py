"""Sealing under a passphrase, for what leaves the machine: Argon2id makes the key, the cipher does the rest.

A text sealed so is `LKP1`, the price that was paid for the key (memory in KiB, rounds, lanes), a random salt of
sixteen bytes, then a sealed text of the cipher.
"""

from __future__ import annotations

import os
import struct
import unicodedata

from core.model.errors import BadRequest, FileDamaged, FormatTooNew, KeyMissing
from core.vault.cipher import KEY_BYTES, seal, unseal

PASSPHRASE_CHARS_MIN = 8
PASSPHRASE_BYTES_MAX = 1024
# RFC 9106's second choice: what every machine that runs Locker can spare.
MEMORY_KIB = 64 * 1024
ROUNDS = 3
LANES = 4
# A file from elsewhere must not decide how much memory and time opening it takes.
MEMORY_KIB_MAX = 1024 * 1024
ROUNDS_MAX = 16
LANES_MAX = 16

_FAMILY = b"LKP"
_MAGIC = _FAMILY + b"1"
_PRICE = struct.Struct(">IHH")
_SALT_BYTES = 16
_HEADER_BYTES = len(_MAGIC) + _PRICE.size + _SALT_BYTES


def check_passphrase(passphrase: str) -> str:
    """The passphrase as it is used: one form for the same letters. Raises BadRequest for one that protects nothing."""
    text = unicodedata.normalize("NFC", passphrase)
    if len(text) < PASSPHRASE_CHARS_MIN:
        raise BadRequest(
            f"the passphrase has {len(text)} characters",
            remedy=f"Use {PASSPHRASE_CHARS_MIN} or more: a few words that nobody would guess.",
        )
    if len(text.encode("utf-8", "surrogatepass")) > PASSPHRASE_BYTES_MAX:
        raise BadRequest(f"the passphrase has more than {PASSPHRASE_BYTES_MAX} bytes", remedy="Use a shorter one.")
    return text


def seal_under(passphrase: str, plaintext: bytes, *, context: str) -> bytes:
    """`plaintext` so that only the passphrase and the same `context` open it."""
    salt = os.urandom(_SALT_BYTES)
    header = _MAGIC + _PRICE.pack(MEMORY_KIB, ROUNDS, LANES) + salt
    key = _key(check_passphrase(passphrase), salt, memory_kib=MEMORY_KIB, rounds=ROUNDS, lanes=LANES)
    return header + seal(key, plaintext, context=context)


def unseal_under(passphrase: str, sealed: bytes, *, context: str) -> bytes:
    """What was sealed under the passphrase; KeyMissing for another one, FileDamaged or FormatTooNew for the text."""
    if len(sealed) < _HEADER_BYTES or not sealed.startswith(_FAMILY):
        raise FileDamaged(f"what should be sealed for {context} is no sealed text")
    if not sealed.startswith(_MAGIC):
        raise FormatTooNew(f"what was sealed for {context} was sealed by a newer Locker")
    memory_kib, rounds, lanes = _PRICE.unpack_from(sealed, len(_MAGIC))
    is_sane = 8 * lanes <= memory_kib <= MEMORY_KIB_MAX and 1 <= rounds <= ROUNDS_MAX and 1 <= lanes <= LANES_MAX
    if not is_sane:
        raise FileDamaged(f"what was sealed for {context} asks for more than any Locker would")
    salt = sealed[_HEADER_BYTES - _SALT_BYTES : _HEADER_BYTES]
    text = unicodedata.normalize("NFC", passphrase)
    key = _key(text, salt, memory_kib=memory_kib, rounds=rounds, lanes=lanes)
    try:
        return unseal(key, sealed[_HEADER_BYTES:], context=context)
    except KeyMissing as err:
        raise KeyMissing("the passphrase is not the one it was sealed under", remedy="Try again.") from err


def _key(passphrase: str, salt: bytes, *, memory_kib: int, rounds: int, lanes: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    derivation = Argon2id(salt=salt, length=KEY_BYTES, iterations=rounds, lanes=lanes, memory_cost=memory_kib)
    return derivation.derive(passphrase.encode("utf-8", "surrogatepass"))

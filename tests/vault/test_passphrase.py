"""Sealing under a passphrase: it opens with the same one alone, and a hostile text costs nothing."""

from __future__ import annotations

import struct

import pytest

from core.model.errors import BadRequest, FileDamaged, FormatTooNew, KeyMissing
from core.vault import check_passphrase, seal_under, unseal_under
from core.vault.passphrase import MEMORY_KIB_MAX, PASSPHRASE_BYTES_MAX

PHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def sealed() -> bytes:
    """One text under one passphrase: sealing costs a tenth of a second on purpose."""
    return seal_under(PHRASE, b"the key", context="backup")


def test_the_same_passphrase_opens(sealed: bytes) -> None:
    """Also where an accented letter is typed as two."""
    accented = seal_under("caf\u00e9 au lait", b"x", context="backup")

    assert b"the key" == unseal_under(PHRASE, sealed, context="backup")
    assert b"x" == unseal_under("cafe\u0301 au lait", accented, context="backup")


def test_the_same_text_never_seals_the_same(sealed: bytes) -> None:
    """Salt and nonce are new each time, and nothing of the text shows."""
    again = seal_under(PHRASE, b"the key", context="backup")

    assert sealed != again
    assert sealed[12:28] != again[12:28]
    assert b"the key" not in sealed


def test_another_passphrase_is_told_from_damage(sealed: bytes) -> None:
    """A wrong passphrase is KeyMissing; a changed text, or one for another purpose, is FileDamaged."""
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    with pytest.raises(KeyMissing, match="passphrase"):
        unseal_under("wrong horse battery", sealed, context="backup")
    with pytest.raises(FileDamaged):
        unseal_under(PHRASE, changed, context="backup")
    with pytest.raises(FileDamaged):
        unseal_under(PHRASE, sealed, context="something else")


def test_every_cut_is_told(sealed: bytes) -> None:
    """However much is missing, the answer is an error of ours."""
    for length in (0, 1, 4, 11, 27, 28, 40, len(sealed) - 1):
        with pytest.raises((FileDamaged, KeyMissing)):
            unseal_under(PHRASE, sealed[:length], context="backup")


def test_a_newer_form_is_left_alone(sealed: bytes) -> None:
    """The next version of the format is no damage."""
    with pytest.raises(FormatTooNew):
        unseal_under(PHRASE, b"LKP2" + sealed[4:], context="backup")


@pytest.mark.parametrize(
    ("memory", "rounds", "lanes"),
    [(MEMORY_KIB_MAX + 1, 3, 4), (65536, 17, 4), (65536, 3, 17), (65536, 0, 4), (65536, 3, 0), (7, 3, 1)],
)
def test_a_text_cannot_ask_for_endless_work(sealed: bytes, memory: int, rounds: int, lanes: int) -> None:
    """What opening costs is bounded, whatever the header says."""
    hostile = sealed[:4] + struct.pack(">IHH", memory, rounds, lanes) + sealed[12:]

    with pytest.raises(FileDamaged, match="asks for more"):
        unseal_under(PHRASE, hostile, context="backup")


def test_a_passphrase_that_protects_nothing_is_refused() -> None:
    """Seven characters are too few, eight are enough; a kilobyte is enough too."""
    with pytest.raises(BadRequest):
        check_passphrase("1234567")
    with pytest.raises(BadRequest):
        check_passphrase("x" * (PASSPHRASE_BYTES_MAX + 1))

    assert "12345678" == check_passphrase("12345678")
    assert "x" * PASSPHRASE_BYTES_MAX == check_passphrase("x" * PASSPHRASE_BYTES_MAX)

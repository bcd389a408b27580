"""Sealing and opening: only the right key, only the right purpose, and every change shows."""

from __future__ import annotations

import contextlib
import functools
import operator
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.errors import BadRequest, FileDamaged, FormatTooNew, KeyMissing
from core.vault.cipher import (
    KEY_BYTES,
    SEALED_BYTES_MAX,
    SealedFile,
    key_from_text,
    key_to_text,
    seal,
    unseal,
)

KEY = bytes(range(KEY_BYTES))
OTHER_KEY = bytes(reversed(range(KEY_BYTES)))


@pytest.fixture
def file(tmp_path: Path) -> SealedFile:
    return SealedFile(tmp_path / "auth.sealed", KEY, context="auth:u1")


@given(st.binary(max_size=2000), st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES), st.text(max_size=40))
def test_round_trip(plaintext: bytes, key: bytes, context: str) -> None:
    """What was sealed comes back unchanged under the same key and context."""
    assert unseal(key, seal(key, plaintext, context=context), context=context) == plaintext


def test_same_text_never_looks_the_same() -> None:
    """The nonce is random, so equal secrets cannot be told to be equal."""
    assert seal(KEY, b"hunter2", context="c") != seal(KEY, b"hunter2", context="c")


def test_nothing_of_the_text_is_visible() -> None:
    """The sealed text holds no part of the plain one."""
    assert b"hunter2" not in seal(KEY, b"hunter2" * 20, context="c")


def test_every_changed_bit_is_noticed() -> None:
    """Whichever bit is flipped, opening fails with a reason and never yields another text."""
    sealed = seal(KEY, b"a token", context="c")

    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((FileDamaged, KeyMissing, FormatTooNew)):
            unseal(KEY, bytes(changed), context="c")


def test_every_truncation_is_noticed() -> None:
    """A text cut short anywhere is damaged, not empty."""
    sealed = seal(KEY, b"a token", context="c")

    for length in range(len(sealed)):
        with pytest.raises(FileDamaged):
            unseal(KEY, sealed[:length], context="c")


def test_another_key_is_told_apart_from_damage() -> None:
    """A wrong key and a damaged text have different cures, so they are different errors."""
    sealed = seal(KEY, b"a token", context="c")

    with pytest.raises(KeyMissing):
        unseal(OTHER_KEY, sealed, context="c")
    with pytest.raises(FileDamaged):
        unseal(KEY, sealed[:-1] + bytes([sealed[-1] ^ 1]), context="c")


def test_a_text_cannot_be_moved_to_another_purpose() -> None:
    """What was sealed for one service's sign-in does not open as another's."""
    with pytest.raises(FileDamaged):
        unseal(KEY, seal(KEY, b"a token", context="auth:u1"), context="auth:u2")


def test_a_newer_format_is_left_alone() -> None:
    """A text of a later format asks for a newer Locker instead of being called damaged."""
    sealed = seal(KEY, b"a token", context="c")

    with pytest.raises(FormatTooNew):
        unseal(KEY, b"LKR2" + sealed[4:], context="c")


def test_key_travels_as_text() -> None:
    """The text form of a key is URL-safe and gives the same key back."""
    text = key_to_text(b"\xff" * KEY_BYTES)

    assert key_from_text(text) == b"\xff" * KEY_BYTES
    assert not set(text) & set("+/=")


@pytest.mark.parametrize("text", ["", "short", "!" * 43, key_to_text(b"x" * 31), key_to_text(b"x" * 33), "ä" * 43])
def test_no_key_is_refused_without_quoting_it(text: str) -> None:
    """A text that is no key is refused, and the message does not repeat it."""
    with pytest.raises(KeyMissing) as caught:
        key_from_text(text)

    assert not text or text not in str(caught.value)


def test_sealed_file_round_trip(file: SealedFile) -> None:
    """An absent file is an empty object; what is written comes back, private and sealed."""
    assert file.read() == {}

    file.write({"settings": {"/token": "s3cret-ü"}, "n": 2**60})

    assert file.read() == {"settings": {"/token": "s3cret-ü"}, "n": 2**60}
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert b"s3cret" not in file.path.read_bytes()


def test_sealed_file_under_another_key(file: SealedFile) -> None:
    """The wrong key is named as the reason together with the file."""
    file.write({"token": "x"})

    with pytest.raises(KeyMissing, match=r"auth\.sealed was sealed under another key"):
        SealedFile(file.path, OTHER_KEY, context="auth:u1").read()


def test_a_damaged_sealed_file_is_not_empty(file: SealedFile) -> None:
    """Damage is never read as "no token", which would look like a sign-out."""
    file.write({"token": "x"})
    file.path.write_bytes(file.path.read_bytes()[:-3])

    with pytest.raises(FileDamaged, match=r"auth\.sealed"):
        file.read()


def test_writing_over_what_cannot_be_opened_keeps_it(file: SealedFile, tmp_path: Path) -> None:
    """INV-06: signing in anew under a new key leaves the old tokens for the day the old key is found."""
    file.write({"token": "precious"})
    old = file.path.read_bytes()

    SealedFile(file.path, OTHER_KEY, context="auth:u1").write({"token": "new"})

    kept = list(tmp_path.glob("auth.sealed.unreadable-*"))
    assert [path.read_bytes() for path in kept] == [old]
    assert SealedFile(kept[0], KEY, context="auth:u1").read() == {"token": "precious"}
    assert SealedFile(file.path, OTHER_KEY, context="auth:u1").read() == {"token": "new"}


def test_writing_over_what_can_be_opened_keeps_nothing(file: SealedFile, tmp_path: Path) -> None:
    """Old tokens do not pile up beside the file."""
    file.write({"token": "one"})
    file.write({"token": "two"})

    assert [path.name for path in tmp_path.iterdir()] == ["auth.sealed"]


def test_create_leaves_what_is_there(file: SealedFile) -> None:
    """Only the first of two creations counts."""
    assert file.create({"a": 1}) is True
    assert file.create({"a": 2}) is False

    assert file.read() == {"a": 1}


def test_a_sealed_file_has_a_bound(file: SealedFile) -> None:
    """More than the bound is refused before anything is replaced."""
    file.write({"token": "x"})

    with pytest.raises(BadRequest):
        file.write({"token": "x" * SEALED_BYTES_MAX})

    assert file.read() == {"token": "x"}


def test_updates_from_two_sides_lose_nothing(file: SealedFile) -> None:
    """Core and child change their own parts at once, and both changes are there."""
    file.write({})

    def add(name: str) -> None:
        for number in range(10):
            part = {f"{name}{number}": number}
            SealedFile(file.path, KEY, context="auth:u1").update(functools.partial(operator.or_, part))

    threads = [threading.Thread(target=add, args=(name,)) for name in ("core", "child")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(file.read()) == 20


def test_an_update_of_what_cannot_be_opened_keeps_it(file: SealedFile, tmp_path: Path) -> None:
    """Signing in again works after the key was lost, and what only the old key opens is still there."""
    file.write({"auth": "old"})
    other = SealedFile(file.path, OTHER_KEY, context="auth:u1")

    assert other.update(lambda now: {**now, "auth": "new"}) == other.read() == {"auth": "new"}
    assert SealedFile(next(tmp_path.glob("*.unreadable-*")), KEY, context="auth:u1").read() == {"auth": "old"}


def test_a_newer_format_is_not_updated(file: SealedFile) -> None:
    """What a newer Locker sealed is left as it is."""
    file.path.write_bytes(b"LKR2" + b"x" * 60)

    for change in (lambda: file.write({}), lambda: file.update(dict)):
        with pytest.raises(FormatTooNew):
            change()
    assert file.path.read_bytes() == b"LKR2" + b"x" * 60


def test_a_link_is_refused(file: SealedFile, tmp_path: Path) -> None:
    """A child cannot make the core open or replace a sealed file somewhere else."""
    SealedFile(tmp_path / "other.sealed", KEY, context="auth:u1").write({"token": "x"})
    file.path.symlink_to(tmp_path / "other.sealed")

    with pytest.raises(FileDamaged):
        file.read()
    with pytest.raises(FileDamaged):
        file.write({"token": "y"})


def test_json_that_is_no_object_is_damage(file: SealedFile) -> None:
    """A child may seal anything under its key; the core takes an object or nothing."""
    for content in (b"[1]", b"", b"\xff", b"[" * 100_000):
        file.path.write_bytes(seal(KEY, content, context="auth:u1"))
        with pytest.raises(FileDamaged):
            file.read()


def test_reprs_tell_no_key(file: SealedFile) -> None:
    """A sealed file in a traceback shows its path and nothing else."""
    assert repr(file) == f"SealedFile({str(file.path)!r})"


def test_kill_while_writing_leaves_a_whole_file(tmp_path: Path) -> None:
    """INV-06: however often the writer is killed, the file opens and holds one of the written objects."""
    program = """
import sys
from pathlib import Path
from core.vault.cipher import SealedFile
file = SealedFile(Path(sys.argv[1]), bytes(range(32)), context="c")
print("ready", flush=True)
n = 0
while True:
    n += 1
    file.write({"n": n, "pad": "x" * 20_000})
"""
    path = tmp_path / "auth.sealed"
    for _round in range(5):
        with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            before = path.stat().st_mtime_ns if path.exists() else 0
            while not path.exists() or path.stat().st_mtime_ns == before:
                os.sched_yield()
            writer.kill()

        content = SealedFile(path, KEY, context="c").read()
        assert content["pad"] == "x" * 20_000


def test_cryptography_is_not_loaded_by_the_import() -> None:
    """A child that seals nothing does not pay for the cipher at its start."""
    program = "import sys, core.vault.cipher; print('cryptography' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout.strip() == "False"


def test_read_after_the_folder_is_gone(file: SealedFile) -> None:
    """A service's folder that vanished reads as not signed in, not as an error."""
    with contextlib.suppress(OSError):
        file.path.parent.rmdir()

    assert file.read() == {}

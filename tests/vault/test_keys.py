"""The master key and the device: made once, never replaced, never shown."""

from __future__ import annotations

import base64
import copy
import pickle
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from core.model.errors import FileDamaged, KeyMissing
from core.model.ids import device_id
from core.vault.cipher import KEY_BYTES, SealedFile, key_from_text
from core.vault.keys import open_device, open_master_key


def test_key_is_made_once_and_kept(tmp_path: Path) -> None:
    """The second start finds the key of the first, which only the owner can read."""
    first = open_master_key(tmp_path).service_key("u1")
    second = open_master_key(tmp_path).service_key("u1")

    assert first == second
    assert len(first) == KEY_BYTES
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_two_processes_at_once_get_the_same_key(tmp_path: Path) -> None:
    """A race at the first start ends in one key that everybody holds."""
    program = (
        "import sys; from pathlib import Path; from core.vault.keys import open_master_key, open_device;"
        "sys.stdin.readline(); m = open_master_key(Path(sys.argv[1]));"
        "print(m.service_key('u').hex(), open_device(Path(sys.argv[1]), m).id)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = {racer.communicate("go\n", timeout=60)[0] for racer in racers}

    assert len(answers) == 1
    assert len(answers.pop().split()) == 2


def test_services_have_keys_of_their_own(tmp_path: Path) -> None:
    """One service's key says nothing about another's, nor about the device's."""
    master = open_master_key(tmp_path)

    keys = {master.service_key("u1"), master.service_key("u2"), master.device_key(), (tmp_path / "key").read_bytes()}

    assert len(keys) == 4


def test_derivation_is_fixed(tmp_path: Path) -> None:
    """The same master key gives the same service key in every version, or old files stay shut."""
    (tmp_path / "key").write_bytes(bytes(range(32)))
    (tmp_path / "key").chmod(0o600)

    master = open_master_key(tmp_path)

    assert master.service_key("u1").hex() == "dc0d5ee880ddea439fb88031246d314665076e03e4c6fe408c3f9a47e6760de9"
    assert master.device_key().hex() == "2a9651053556b2e73a7ee8712c7d1e4bb4fd4ac276441dccee2a665478e7409a"


def test_key_text_is_what_a_child_can_read(tmp_path: Path) -> None:
    """The text in a Greeting is the service's key."""
    master = open_master_key(tmp_path)

    assert key_from_text(master.service_key_text("u1")) == master.service_key("u1")


@pytest.mark.parametrize("size", [0, KEY_BYTES - 1, KEY_BYTES + 1, 5000])
def test_a_key_of_the_wrong_size_is_never_overwritten(tmp_path: Path, size: int) -> None:
    """A damaged key is the owner's to restore; the file stays as it is."""
    (tmp_path / "key").write_bytes(b"k" * size)

    with pytest.raises(FileDamaged):
        open_master_key(tmp_path)

    assert (tmp_path / "key").read_bytes() == b"k" * size


def test_no_new_key_beside_sealed_files(tmp_path: Path) -> None:
    """A lost key is reported with its cure instead of being replaced by one that opens nothing."""
    open_device(tmp_path, open_master_key(tmp_path))
    (tmp_path / "key").unlink()

    with pytest.raises(KeyMissing) as caught:
        open_master_key(tmp_path)

    assert not (tmp_path / "key").exists()
    assert "backup" in caught.value.remedy


def test_a_key_that_others_can_read_is_closed(tmp_path: Path) -> None:
    """A key restored with loose permissions is tightened."""
    open_master_key(tmp_path)
    (tmp_path / "key").chmod(0o644)

    open_master_key(tmp_path)

    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_the_owner_is_told_where_the_key_lies(tmp_path: Path) -> None:
    """The notice names the file, so that the dashboard can show it."""
    master = open_master_key(tmp_path)

    assert master.source == "file"
    assert str(tmp_path / "key") in master.notice


def test_the_master_key_shows_itself_to_nobody(tmp_path: Path) -> None:
    """Neither repr nor str nor a copy for another process holds the key."""
    master = open_master_key(tmp_path)
    key = (tmp_path / "key").read_bytes()

    shown = f"{master!r} {master}"

    assert key.hex() not in shown
    assert repr(key) not in shown
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leave(master)


def test_device_is_the_same_at_every_start(tmp_path: Path) -> None:
    """The identity is made once; its id is the name of its public key."""
    master = open_master_key(tmp_path)

    first = open_device(tmp_path, master)
    second = open_device(tmp_path, open_master_key(tmp_path))

    assert first.id == second.id == device_id(first.public_der)
    assert len(first.id) == 32
    assert stat.S_IMODE((tmp_path / "device.sealed").stat().st_mode) == 0o600


def test_device_signs(tmp_path: Path) -> None:
    """Others can check its signature with its public key alone."""
    device = open_device(tmp_path, open_master_key(tmp_path))
    public = load_der_public_key(device.public_der)
    assert isinstance(public, Ed25519PublicKey)

    public.verify(device.sign(b"hello"), b"hello")

    with pytest.raises(InvalidSignature):
        public.verify(device.sign(b"hello"), b"other")


def test_two_devices_differ(tmp_path: Path) -> None:
    """Every Me is a device of its own."""
    ids = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        ids.add(open_device(tmp_path / name, open_master_key(tmp_path / name)).id)

    assert len(ids) == 2


def test_a_device_under_another_key_is_never_replaced(tmp_path: Path) -> None:
    """With the wrong key the identity stays shut and stays there; the message says how to go on."""
    open_device(tmp_path, open_master_key(tmp_path))
    sealed = (tmp_path / "device.sealed").read_bytes()
    (tmp_path / "key").write_bytes(b"k" * KEY_BYTES)

    with pytest.raises(KeyMissing) as caught:
        open_device(tmp_path, open_master_key(tmp_path))

    assert (tmp_path / "device.sealed").read_bytes() == sealed
    assert "Restore Me/key" in caught.value.remedy


@pytest.mark.parametrize("content", [{"ed25519": "AA=="}, {"ed25519": 7}, {"ed25519": "?"}, {"other": 1}, {}], ids=str)
def test_a_device_file_without_identity_is_damage(tmp_path: Path, content: dict[str, object]) -> None:
    """Whatever else was sealed there is reported and left alone."""
    master = open_master_key(tmp_path)
    SealedFile(tmp_path / "device.sealed", master.device_key(), context="device").write(content)

    with pytest.raises(FileDamaged):
        open_device(tmp_path, master)


def test_a_damaged_device_file_is_left_alone(tmp_path: Path) -> None:
    """A torn file is not taken for a missing one."""
    master = open_master_key(tmp_path)
    open_device(tmp_path, master)
    torn = (tmp_path / "device.sealed").read_bytes()[:40]
    (tmp_path / "device.sealed").write_bytes(torn)

    with pytest.raises(FileDamaged):
        open_device(tmp_path, master)

    assert (tmp_path / "device.sealed").read_bytes() == torn


def test_a_moved_me_keeps_its_identity(tmp_path: Path) -> None:
    """Key and device travel with the folder."""
    (tmp_path / "old").mkdir()
    before = open_device(tmp_path / "old", open_master_key(tmp_path / "old")).id
    shutil.move(tmp_path / "old", tmp_path / "new")

    assert open_device(tmp_path / "new", open_master_key(tmp_path / "new")).id == before


def test_the_private_key_is_not_in_the_device_file(tmp_path: Path) -> None:
    """What lies on the disk is sealed."""
    master = open_master_key(tmp_path)
    open_device(tmp_path, master)
    seed = SealedFile(tmp_path / "device.sealed", master.device_key(), context="device").read()["ed25519"]

    on_disk = (tmp_path / "device.sealed").read_bytes()

    assert seed.encode() not in on_disk
    assert base64.b64decode(seed) not in on_disk

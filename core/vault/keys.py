"""The owner's master key, the keys derived from it, and the device's own identity.

The key lies in `Me/key`. A missing key is made only for a `Me` that has nothing sealed yet: a new
key beside old sealed files would open none of them and hide that the old one is still needed.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from core.model.errors import FileDamaged, KeyMissing
from core.model.ids import device_id
from core.vault.cipher import KEY_BYTES, SealedFile, key_to_text
from core.vault.private_file import MODE, PrivateFile

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

log = logging.getLogger(__name__)

KEY_FILE = "key"
DEVICE_FILE = "device.sealed"

_DEVICE_CONTEXT = "device"
_SEED_BYTES = 32
_KEY_FILE_BYTES_MAX = 4096
_NOTICE = (
    "The key to your secrets lies in {path}, beside the data it protects: whoever can read the one can read the "
    "other. Turn on disk encryption, and keep a copy of that file in a safe place apart from your backups."
)
_CURE = (
    "Restore Me/key from a backup. Only if it is lost for good: move Me/device.sealed away, start again, and sign in "
    "to every account anew; this device then has a new identity."
)
_DEVICE_CURE = (
    "Restore Me/device.sealed from a backup. Only if it is lost for good: move it away and start again; this device "
    "then has a new identity."
)


class MasterKey:
    """The one key from which every service's key is derived; it shows itself to nobody.

    `source` says where it is kept, `notice` is a sentence for the owner about that.
    """

    def __init__(self, key: bytes, *, source: str, notice: str) -> None:
        self.__key = key
        self.source = source
        self.notice = notice

    def __repr__(self) -> str:
        return f"MasterKey(source={self.source!r})"

    def __reduce__(self) -> str:
        raise TypeError("a master key is not copied to another process")

    def service_key(self, uid: str) -> bytes:
        """The 32-byte key that seals the secrets of the service `uid`, always the same one."""
        return self._derive(f"service:{uid}")

    def service_key_text(self, uid: str) -> str:
        """The service's key as it stands in a Greeting."""
        return key_to_text(self.service_key(uid))

    def device_key(self) -> bytes:
        """The key that seals the device's own identity."""
        return self._derive("device")

    def _derive(self, purpose: str) -> bytes:
        # Imported here for the same reason as in cipher: the room's face is loaded by every child.
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        info = f"locker {purpose}".encode()
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(self.__key)


def open_master_key(me: Path) -> MasterKey:
    """The master key of `me`, made at the first start; two processes that start at once get the same one.

    Raises KeyMissing when it is gone though sealed files exist, FileDamaged when it is no key of ours.
    """
    file = PrivateFile(me / KEY_FILE, bytes_max=_KEY_FILE_BYTES_MAX)
    key = file.read()
    if key is None:
        if (me / DEVICE_FILE).exists():
            raise KeyMissing(f"{file.path} is gone, and {me / DEVICE_FILE} was sealed under it", remedy=_CURE)
        if file.create(os.urandom(KEY_BYTES)):
            log.info("master key made path=%s", file.path)
        key = file.read() or b""
    if len(key) != KEY_BYTES:
        raise FileDamaged(f"{file.path} has {len(key)} bytes instead of {KEY_BYTES}: it is no key", remedy=_CURE)
    _keep_private(file.path)
    return MasterKey(key, source="file", notice=_NOTICE.format(path=file.path))


class Device:
    """This device as others know it: `id` is the name of its public key, `public_der` the key itself."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self.__private_key = private_key
        self.public_der = private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.id = device_id(self.public_der)

    def __repr__(self) -> str:
        return f"Device({self.id!r})"

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature of `message`, 64 bytes."""
        return self.__private_key.sign(message)


def open_device(me: Path, master: MasterKey) -> Device:
    """This device's identity, made at the first start and sealed in `Me/device.sealed`.

    Raises KeyMissing or FileDamaged when it is there and cannot be opened; it is never replaced by a new one.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    file = SealedFile(me / DEVICE_FILE, master.device_key(), context=_DEVICE_CONTEXT)
    try:
        content = file.read()
        if not content:
            file.create({"ed25519": base64.b64encode(os.urandom(_SEED_BYTES)).decode("ascii")})
            content = file.read()
        seed = base64.b64decode(content["ed25519"], validate=True)
        return Device(Ed25519PrivateKey.from_private_bytes(seed))
    except KeyMissing as err:
        raise KeyMissing(f"{file.path} was sealed under another key than {me / KEY_FILE}", remedy=_CURE) from err
    except (FileDamaged, KeyError, TypeError, ValueError, binascii.Error) as err:
        raise FileDamaged(f"{file.path} holds no device identity", remedy=_DEVICE_CURE) from err


def _keep_private(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        log.warning("key could be read by others, now it cannot path=%s mode=%o", path, mode)
        path.chmod(MODE)

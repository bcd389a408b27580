"""What is secret: the owner's key and what is derived from it, sealed files, and secrets kept out of logs."""

from core.vault.cipher import SealedFile, key_from_text, key_to_text, seal, unseal
from core.vault.keys import Device, MasterKey, open_device, open_master_key
from core.vault.passphrase import check_passphrase, seal_under, unseal_under
from core.vault.private_file import PrivateFile, sync_folder
from core.vault.redact import Redactor
from core.vault.secrets import is_marker, merge_settings, split_settings, without_secrets

__all__ = [
    "Device",
    "MasterKey",
    "PrivateFile",
    "Redactor",
    "SealedFile",
    "check_passphrase",
    "is_marker",
    "key_from_text",
    "key_to_text",
    "merge_settings",
    "open_device",
    "open_master_key",
    "seal",
    "seal_under",
    "split_settings",
    "sync_folder",
    "unseal",
    "unseal_under",
    "without_secrets",
]

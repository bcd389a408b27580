"""A service's secret settings in its auth.sealed, in step with the open part in Me/locker.json.

The two files cannot be changed at one moment, so for the time of a change the secrets of both the old
and the new settings are sealed, each under the digest of its open part: whichever open part a crash
leaves behind, it finds its own secrets, and no password is ever paired with another account.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from core.model.errors import FileDamaged, KeyMissing
from core.vault import SealedFile, merge_settings

#: The part of auth.sealed that is the core's to write; everything else in it is the child's.
PART = "settings"

_REMEDY = "Restore Me/key from a backup, or set the service's settings anew."


class _Sealed(msgspec.Struct):
    """The secrets that belong to the open part with this digest."""

    open_part: str
    secrets: dict[str, Any]


class SealedSettings:
    """The secret settings of one service; `file` is its auth.sealed, which the child writes too."""

    def __init__(self, file: SealedFile, schema: Mapping[str, Any]) -> None:
        self._file = file
        self._schema = schema

    def joined(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        """The whole settings for the open part `plain`; a secret that is not there leaves its field out.

        After an edit of the open part by hand its digest is unknown; then the newest secrets count.
        Raises KeyMissing or FileDamaged, but only if there is a secret to be read.
        """
        open_values = merge_settings(self._schema, plain, {})
        if open_values == plain:
            return open_values
        try:
            sealed = _sealed_in(self._file.read())
        except (KeyMissing, FileDamaged) as err:
            raise type(err)(str(err), remedy=_REMEDY) from err
        digest = _digest(plain)
        chosen = next((one for one in sealed if one.open_part == digest), sealed[0] if sealed else None)
        return merge_settings(self._schema, plain, chosen.secrets if chosen else {})

    def prepare(self, plain: Mapping[str, Any], secrets: Mapping[str, Any]) -> None:
        """Seal `secrets` for the open part `plain` that is about to be kept, beside those of the present one."""
        new = _Sealed(open_part=_digest(plain), secrets=dict(secrets))

        def add(content: dict[str, Any]) -> dict[str, Any]:
            others = [one for one in _sealed_in(content) if one.open_part != new.open_part]
            return {**content, PART: msgspec.to_builtins([new, *others[:1]])}

        if secrets:
            self._file.update(add)

    def settle(self, plain: Mapping[str, Any]) -> None:
        """Forget all secrets but those of the open part `plain`, which is kept now."""
        digest = _digest(plain)

        def drop(content: dict[str, Any]) -> dict[str, Any]:
            left = [one for one in _sealed_in(content) if one.open_part == digest]
            others = {name: value for name, value in content.items() if name != PART}
            return {**others, PART: msgspec.to_builtins(left)} if left else others

        try:
            content = self._file.read()
        except (KeyMissing, FileDamaged):  # What cannot be opened holds nothing that could be forgotten.
            return
        if drop(content) != content:
            self._file.update(drop)


def _digest(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()


def _sealed_in(content: Mapping[str, Any]) -> list[_Sealed]:
    """The core's part of the file, newest first; what a child put in its place counts as nothing."""
    try:
        return msgspec.convert(content.get(PART, []), list[_Sealed])
    except msgspec.ValidationError:
        return []

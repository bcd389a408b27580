"""An installed service, as it is remembered and as others may see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from core.model.manifest import Manifest
from core.vault import without_secrets

FIRST_EPOCH = 1
# More epochs than stores were made anew in one folder: how many went with it, nobody knows any more.
FOLDER_EPOCHS = 1000


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """An installed connector. In `settings` a marker stands where a secret was; the secret is sealed.

    `allowed_folders` are those that the owner agreed to let it read, `doors_open` the declared doors
    that the owner opened; a `paused` service runs and does not sync. `store_open` says that the owner's
    other programs may write its store too.
    """

    id: str
    uid: str
    connector: str
    title: str
    installed_at: float
    settings: dict[str, Any] = {}
    enabled: bool = True
    account: str | None = None
    origin_epoch: int = FIRST_EPOCH
    allowed_folders: tuple[str, ...] = ()
    doors_open: tuple[str, ...] = ()
    paused: bool = False
    store_open: bool = False

    @property
    def has_come_back(self) -> bool:
        """Whether it was brought here by a restore, which gives its log another epoch than its first."""
        return self.origin_epoch > FIRST_EPOCH

    def in_a_new_folder(self) -> Service:
        """The service, its log in an epoch that nothing in a folder that is gone can have had."""
        return msgspec.structs.replace(self, origin_epoch=self.origin_epoch + FOLDER_EPOCHS)

    def public(self, manifest: Manifest | None) -> dict[str, Any]:
        """What anybody may know of it: no settings, nothing secret, nothing of its process.

        Without a manifest (its folder is gone) only what the record itself says.
        """
        document: dict[str, Any] = {
            "id": self.id,
            "connector": self.connector,
            "title": self.title,
            "enabled": self.enabled,
            "paused": self.paused,
            "installed_at": self.installed_at,
            "uri": f"/Me/{self.id}/",
        }
        if manifest is not None:
            document |= {
                "is": manifest.kind,
                "description": manifest.description,
                "version": manifest.version,
                "provides": list(provided(manifest)),
                "uses": list(manifest.uses),
                "types": list(manifest.types),
                "streams": list(manifest.streams),
            }
        return document

    def copy_for_child(self, manifest: Manifest) -> dict[str, Any]:
        """What stands in the service's me.json: the public view and the settings that are no secret."""
        return self.public(manifest) | {
            "uid": self.uid,
            "account": self.account,
            "origin_epoch": self.origin_epoch,
            "settings": without_secrets(manifest.settings, self.settings),
        }


def provided(manifest: Manifest) -> tuple[str, ...]:
    """What a connector provides: as it declares, else each of its types with its own network."""
    return manifest.provides or tuple(f"{name}/{manifest.name}" for name in manifest.types)


def does_provide(provides: Sequence[str], wanted: str) -> bool:
    """Whether `wanted` is among these: `contact/twitter` exactly, `contact` of any network."""
    if "/" in wanted:
        return wanted in provides
    return any(name.partition("/")[0] == wanted for name in provides)

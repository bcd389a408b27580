"""◆ Whether a folder is a place where databases and secrets are safe, judged by its path and its file system."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum

# Locks and shared memory do not hold across machines there, and SQLite needs both.
REMOTE_KINDS = frozenset({
    "9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "davfs2", "glusterfs", "lustre", "ncpfs", "nfs",
    "nfs4", "smb", "smb2", "smb3", "smbfs", "sshfs", "webdav",
})  # fmt: skip
REMOTE_FUSE = frozenset({
    "ceph-fuse", "curlftpfs", "davfs2", "gcsfuse", "glusterfs", "goofys", "google-drive-ocamlfuse", "gvfsd-fuse",
    "juicefs", "mount-s3", "onedriver", "rclone", "s3fs", "smbnetfs", "sshfs",
})  # fmt: skip
# They keep no owner and no permissions: what is written 0600 can be read by anybody.
OPEN_KINDS = frozenset({"exfat", "fat", "fat32", "msdos", "vfat"})
SYNCED_FOLDERS = frozenset({
    "box sync", "cloudstorage", "creative cloud files", "dropbox", "google drive", "googledrive", "icloud drive",
    "icloud~com~apple~clouddocs", "mega", "megasync", "mobile documents", "my drive", "nextcloud", "onedrive",
    "owncloud", "pcloud drive", "pclouddrive", "proton drive", "seafile", "tresorit", "yandex.disk",
})  # fmt: skip
SYNCED_BEGINNINGS = ("dropbox (", "googledrive-", "onedrive - ", "onedrive-")
# One of these is in every Me that was started once.
MARKS_OF_ME = frozenset({"core.db", "core.lock", "key", "locker.json"})
# They stand in a Me that is only begun, or in any folder at all.
OF_NOBODY = frozenset({".DS_Store", ".gitignore", "README.md", "core.sock", "logs", "lost+found", "owner", "run"})


class Weight(IntEnum):
    """How much a doubt weighs."""

    NOTED = 0
    WARNED = 1
    REFUSED = 2


@dataclass(frozen=True)
class Mount:
    """A file system: where it begins, and of which kind it is."""

    point: str
    kind: str


# What stands in a checkout and belongs to it.
OF_CHECKOUT = frozenset(
    {"core", "connectors", "config", "docs", "tests", ".git", ".ci", ".venv", ".venv.test", ".venv.bench"}
)


@dataclass(frozen=True)
class Doubt:
    """Something about a place that its owner should know: Locker must not run there, warns of it, or only notes it."""

    weight: Weight
    sentence: str
    cure: str


def doubts_about(me: str, *, mounts: Sequence[Mount], checkout: str, holds: Collection[str] = ()) -> tuple[Doubt, ...]:
    """What speaks against keeping Me at this absolute, resolved path, which holds these; the weightiest first."""
    found = [_of_checkout(me, checkout), _of_content(me, holds), _of_kind(me, kind_of(me, mounts)), _of_sync(me)]
    return tuple(sorted((doubt for doubt in found if doubt is not None), key=lambda doubt: -doubt.weight))


def kind_of(path: str, mounts: Sequence[Mount]) -> str:
    """The kind of file system that holds the path; empty if no mount is known for it."""
    holding = [mount for mount in mounts if _is_within(path, mount.point)]
    # Of two mounts on one point the later hides the earlier.
    return max(enumerate(holding), key=lambda pair: (len(pair[1].point), pair[0]))[1].kind if holding else ""


def _of_content(me: str, holds: Collection[str]) -> Doubt | None:
    others = sorted(set(holds) - OF_NOBODY)
    if not others or not MARKS_OF_ME.isdisjoint(holds):
        return None
    return Doubt(
        Weight.REFUSED,
        f"{me} is no folder of Locker's, and not empty: it holds {others[0]}{' and more' if others[1:] else ''}.",
        f"Give your data a folder of its own: --me {shlex.quote(me.rstrip('/') + '/Locker')}",
    )


def _of_kind(me: str, kind: str) -> Doubt | None:
    kind = kind.lower()
    base, _, program = kind.partition(".")
    if kind in REMOTE_KINDS or (base == "fuse" and program in REMOTE_FUSE):
        return Doubt(
            Weight.REFUSED,
            f"{me} is on a network file system ({kind}), where a database can be damaged.",
            "Keep Me on a disk of this machine: --me DIR.",
        )
    if base == "fuse":
        return Doubt(
            Weight.WARNED,
            f"{me} is on a file system of a program ({kind}); if it reaches over a network, data can be damaged.",
            "If in doubt, keep Me on a disk of this machine: --me DIR.",
        )
    if kind in OPEN_KINDS:
        return Doubt(
            Weight.WARNED,
            f"{me} is on a file system without permissions ({kind}): whoever has the disk can read everything.",
            "Keep Me on a disk that knows permissions: --me DIR.",
        )
    return None


def _of_sync(me: str) -> Doubt | None:
    for part in _parts(me):
        if part.lower() in SYNCED_FOLDERS or part.lower().startswith(SYNCED_BEGINNINGS):
            return Doubt(
                Weight.WARNED,
                f"{me} is in a synchronised folder ({part}): its program copies databases while they are written, "
                "and your secrets to its company.",
                "Keep Me outside of it: --me DIR.",
            )
    return None


def _of_checkout(me: str, checkout: str) -> Doubt | None:
    if not _is_within(me, checkout):
        return None
    inner = _parts(me)[len(_parts(checkout)) :]
    if inner and inner[0] in OF_CHECKOUT:
        return Doubt(
            Weight.REFUSED,
            f"{me} is among Locker's own files, which an update replaces.",
            f"Give your data a folder of its own, beside them or elsewhere: --me {shlex.quote(f'{checkout}/Me')}",
        )
    return Doubt(
        Weight.NOTED,
        f"{me} is inside Locker's own folder: `git clean -fdx`, or removing that folder, deletes all your data.",
        "Move it out and start with --me DIR, or set `me` in config/locker.toml.",
    )


def _is_within(path: str, folder: str) -> bool:
    parts, outer = _parts(path), _parts(folder)
    return parts[: len(outer)] == outer


def _parts(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").split("/") if part]

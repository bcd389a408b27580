"""The connectors that could run: what the folders of `connector_paths` hold.

A folder that was added or changed counts from the next `refresh` on, which reads only what changed.
One with faults is reported and hides no other.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from core.model.errors import ManifestInvalid, NotFound
from core.model.manifest import MANIFEST_BYTES_MAX, MANIFEST_FILE, Manifest, parse_manifest
from core.registry.environments import REQUIREMENTS_IGNORED, ignores_requirements, requires_faults
from core.registry.schema import has_type, schema_faults

FOLDERS_MAX = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderFault:
    """A folder that cannot be used; `name` is the connector's where it can be told, else the folder's.

    `is_path` says that it is no connector's folder but one of `connector_paths`.
    """

    folder: Path
    name: str
    faults: tuple[str, ...]
    is_path: bool = False

    @property
    def remedy(self) -> str:
        """What is to be corrected."""
        if self.is_path:
            return "Correct connector_paths in locker.toml, or see to the folder."
        return f"Correct {self.folder / MANIFEST_FILE}."


# What tells whether a manifest is the one that was read: when it was changed, its size, its inode.
_Mark = tuple[int, int, int]


@dataclass(frozen=True)
class _Read:
    """One manifest file as it was read."""

    mark: _Mark
    manifest: Manifest | None
    fault: FolderFault | None


@dataclass(frozen=True)
class _Seen:
    """What one look found."""

    reads: Mapping[Path, _Read]
    entries: Mapping[str, Manifest]
    faults: tuple[FolderFault, ...]


class Catalog:
    """Every usable connector by its name. Answers come from memory, to any thread, and what they hold never changes.

    Of two connectors with one name the first in the order of `paths` stays, and within one path the one
    whose folder bears the name: a person's broken copy must not take the place of what works. `on_change` hears, in
    the thread that looked, the names of the connectors that a later look found new or changed.
    """

    def __init__(
        self, paths: Sequence[Path], *, on_change: Callable[[frozenset[str]], None] = lambda _names: None
    ) -> None:
        self._paths = tuple(dict.fromkeys(paths))
        self._on_change = on_change
        # Replaced whole by each look, so that nobody waits for anybody.
        self._seen = _Seen(reads={}, entries=MappingProxyType({}), faults=())
        self._seen = self._look_at_all()

    def refresh(self) -> None:
        """Look at the folders; only new and changed manifests are read."""
        before = self._seen.entries
        self._seen = self._look_at_all()
        changed = {name for name, manifest in self._seen.entries.items() if before.get(name) != manifest}
        if changed:
            log.info("connectors changed names=%s", ",".join(sorted(changed)))
            self._on_change(frozenset(changed))

    def _look_at_all(self) -> _Seen:
        faults: list[FolderFault] = []
        folders = [folder for path in self._paths for folder in _folders_in(path, faults)]
        looks = {folder: self._look(folder) for folder in folders}
        return self._arranged({folder: read for folder, read in looks.items() if read is not None}, faults)

    def entries(self) -> Mapping[str, Manifest]:
        """Every usable connector by its name, in the order of the names."""
        return self._seen.entries

    def faults(self) -> tuple[FolderFault, ...]:
        """Every folder that cannot be used, with all its faults."""
        return self._seen.faults

    def get(self, name: str) -> Manifest:
        """The connector of that name; raises NotFound, which says what is wrong where it was found but is faulty."""
        manifest = self._seen.entries.get(name)
        if manifest is None:
            raise self.trouble(name) or NotFound(
                f"there is no connector {name[:80]!r}", remedy="GET /available lists those there are."
            )
        return manifest

    def trouble(self, name: str) -> NotFound | None:
        """What is wrong with a connector of that name, or in a folder of it; None where nothing is found of it."""
        seen = self._seen
        for fault in seen.faults:
            if fault.name == name:
                return NotFound(
                    f"the connector {name} cannot be used: " + "; ".join(fault.faults),
                    remedy=fault.remedy,
                )
        for other in seen.entries.values():
            if Path(other.folder).name == name:
                return NotFound(
                    f"there is no connector {name[:80]!r}: the one in {other.folder} is named {other.name!r}",
                    remedy=f"Ask for {other.name!r}, or correct name in {other.path}.",
                )
        return None

    def _look(self, folder: Path) -> _Read | None:
        """What the folder's manifest says, read anew only if it changed; None where there is none."""
        path = folder / MANIFEST_FILE
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as err:
            return _Read(
                (0, 0, 0), None, FolderFault(folder, folder.name, (f"connector.toml: cannot be read: {err.strerror}",))
            )
        mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        known = self._seen.reads.get(folder)
        if known is not None and known.mark == mark:
            return known
        read = _read(folder, found, mark)
        if read.fault is not None:
            log.warning("connector has faults folder=%s faults=%s", folder, "; ".join(read.fault.faults))
        elif read.manifest is not None and ignores_requirements(read.manifest):
            log.info("connector %s: %s; %s", read.manifest.name, *REQUIREMENTS_IGNORED)
        return read

    def _arranged(self, reads: Mapping[Path, _Read], faults: list[FolderFault]) -> _Seen:
        places = {path: place for place, path in enumerate(self._paths)}

        def rank(folder: Path) -> tuple[int, bool, str]:
            manifest = reads[folder].manifest
            return places[folder.parent], manifest is None or manifest.name != folder.name, folder.name

        entries: dict[str, Manifest] = {}
        for folder in sorted(reads, key=rank):
            manifest, fault = reads[folder].manifest, reads[folder].fault
            if manifest is not None and entries.setdefault(manifest.name, manifest) is not manifest:
                first = entries[manifest.name].folder
                what = f"name: {manifest.name!r} is taken by {first}, so {folder} is not used"
                fault = FolderFault(folder, manifest.name, (what,))
            if fault is not None:
                faults.append(fault)
        return _Seen(reads=reads, entries=MappingProxyType(dict(sorted(entries.items()))), faults=tuple(faults))


def _folders_in(path: Path, faults: list[FolderFault]) -> list[Path]:
    """The folders of one connector path by name, links to folders included, hidden ones not."""
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith((".", "_")))
    except OSError as err:
        what = f"connector_paths: {path} cannot be read: {err.strerror}"
        faults.append(FolderFault(path, path.name, (what,), is_path=True))
        return []
    if len(names) > FOLDERS_MAX:
        what = f"connector_paths: {path} holds more than {FOLDERS_MAX} folders"
        faults.append(FolderFault(path, path.name, (what,), is_path=True))
    return [path / name for name in names[:FOLDERS_MAX]]


def _read(folder: Path, found: os.stat_result, mark: _Mark) -> _Read:
    try:
        manifest = _parsed(folder, found)
    except ManifestInvalid as err:
        return _Read(mark, None, FolderFault(folder, folder.name, err.faults))
    return _Read(mark, manifest, None)


def _parsed(folder: Path, found: os.stat_result) -> Manifest:
    if not stat.S_ISREG(found.st_mode):
        raise ManifestInvalid(faults=("connector.toml: is not a plain file",))
    try:
        with (folder / MANIFEST_FILE).open("rb") as file:
            content = file.read(MANIFEST_BYTES_MAX + 1)
        if len(content) > MANIFEST_BYTES_MAX:
            raise ManifestInvalid(faults=(f"connector.toml: is larger than {MANIFEST_BYTES_MAX} bytes",))
        return parse_manifest(content.decode("utf-8"), str(folder), further=_further_faults)
    except OSError as err:
        raise ManifestInvalid(faults=(f"connector.toml: cannot be read: {err.strerror}",)) from err
    except UnicodeDecodeError as err:
        raise ManifestInvalid(faults=(f"connector.toml: is not UTF-8 at byte {err.start}",)) from err


def _further_faults(manifest: Manifest) -> list[str]:
    """What only this room knows to be wrong. Settings without a known type are told of already."""
    settings = {name: field for name, field in manifest.settings.items() if has_type(field)}
    return [*schema_faults(settings), *requires_faults(manifest.requires), *_unnamed_reads(manifest)]


def _unnamed_reads(manifest: Manifest) -> list[str]:
    """Folders to read that are named by a setting which is not declared."""
    named = [read["setting"] for read in manifest.limits.reads if not isinstance(read, str)]
    return [f"limits.reads: there is no setting {name!r}" for name in named if name not in manifest.settings]

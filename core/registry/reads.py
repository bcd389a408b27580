"""The folders outside its own that a service may read: declared in the manifest, agreed to by the owner.

What the owner agreed to is kept with the service, so a connector that asks for more in its next
version gets no more until the owner saves its settings again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.model.manifest import Manifest
from core.registry.settings import Fault

READS_MAX = 64
FIXED = "limits.reads"


class Reads:
    """What may be opened for reading: nothing that holds one of the `protected` places or lies in it."""

    def __init__(self, *, home: Path | None, protected: Sequence[Path]) -> None:
        self._home = home
        self._protected = [place.resolve() for place in protected]

    def agreed(self, manifest: Manifest, settings: Mapping[str, Any]) -> tuple[tuple[str, ...], list[Fault]]:
        """The folders that `manifest` asks for with these `settings`, and what is wrong with them.

        A folder that a setting names must be there. A fixed one need not: a browser may come later.
        """
        folders: dict[str, None] = {}
        faults: list[Fault] = []
        for key, text in _asked(manifest, settings):
            path = self._expanded(text)
            what = self._forbidden(path)
            if what is None and key != FIXED and not _is_there(path):
                what = f"must be a folder that exists; {path} is none"
            if what is None:
                folders[str(path)] = None
            else:
                faults.append((key, what))
        if len(folders) > READS_MAX:
            faults.append((FIXED, f"names more than {READS_MAX} folders"))
        return tuple(folders), faults

    def present(self, folders: Iterable[str]) -> tuple[Path, ...]:
        """Those of the agreed folders that can be opened now; a link that leads to a protected place is left out."""
        paths = [Path(folder) for folder in folders]
        return tuple(path.resolve() for path in paths if _is_there(path) and self._forbidden(path) is None)

    def _expanded(self, text: str) -> Path:
        if text.startswith("~/") and self._home is not None:
            return self._home / text[2:]
        return Path(text)

    def _forbidden(self, path: Path) -> str | None:
        if not path.is_absolute():
            return "must be a folder's whole path"
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # A loop of links is a RuntimeError up to Python 3.12.
            return f"cannot be followed: {path} is a loop of links"
        for place in self._protected:
            if place.is_relative_to(real) or real.is_relative_to(place):
                return f"may not be {path}: it holds Locker's own files, or lies among them"
        return None


def _is_there(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _asked(manifest: Manifest, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs of the key to name in a fault, and the folder as it was written."""
    asked: list[tuple[str, str]] = []
    for read in manifest.limits.reads:
        if isinstance(read, str):
            asked.append((FIXED, read))
            continue
        name = read["setting"]
        value = settings.get(name)
        if isinstance(value, str) and value:
            asked.append((name, value))
        elif isinstance(value, (list, tuple)):
            asked += [(f"{name}.{index}", item) for index, item in enumerate(value) if isinstance(item, str) and item]
    return asked

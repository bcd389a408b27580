"""This machine's file systems and folders, as far as a place for Me is judged by them."""

from __future__ import annotations

from pathlib import Path

import psutil

from core.cli.checkout import ROOT
from core.cli.places import Doubt, Mount, doubts_about


def doubts_here(me: Path) -> tuple[Doubt, ...]:
    """What speaks against keeping Me in this folder of this machine; links are followed first."""
    place = me.resolve()
    return doubts_about(str(place), mounts=mounts(), checkout=str(ROOT), holds=_names_in(place))


def mounts() -> list[Mount]:
    """Every file system in the order of mounting, network and programs' ones included."""
    return [Mount(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]


def _names_in(folder: Path) -> list[str]:
    """What the folder holds; nothing where there is none, or none that can be read: others tell of that."""
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []

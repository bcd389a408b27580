"""The file systems of this machine, as far as a place for Me is judged by them."""

from __future__ import annotations

from pathlib import Path

import psutil

from core.cli.checkout import ROOT
from core.cli.places import Doubt, Mount, doubts_about


def doubts_here(me: Path) -> tuple[Doubt, ...]:
    """What speaks against keeping Me in this folder of this machine; links are followed first."""
    return doubts_about(str(me.resolve()), mounts=mounts(), checkout=str(ROOT))


def mounts() -> list[Mount]:
    """Every file system in the order of mounting, network and programs' ones included."""
    return [Mount(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]

"""Whether the packages of an environment are as they were installed, by what pip noted of each: file by file, by size.

Imports would tell of those that the core needs and of no others: a connector's are first met when it syncs.
"""

# pathlib would make this twice as slow, and every start waits for it.
# ruff: noqa: PTH116, PTH118, PTH123, PTH208

from __future__ import annotations

import csv
import os
import sysconfig
from collections.abc import Iterator

NOTED = "RECORD"
CACHED = "__pycache__"


def damage_in(folder: str) -> str | None:
    """The first damage found to the packages of the environment in `folder`, as a part of a sentence, or None."""
    for place in _places(folder):
        try:
            names = sorted(name for name in os.listdir(place) if name.endswith(".dist-info"))
        except OSError:
            continue
        for name in names:
            harmed = _harmed(place, os.path.join(place, name, NOTED))
            if harmed is not None:
                return f"{harmed} of {name.removesuffix('.dist-info')} is not as it was installed"
    return None


def _places(folder: str) -> list[str]:
    paths = sysconfig.get_paths(vars={"base": folder, "platbase": folder})
    return list(dict.fromkeys((paths["purelib"], paths["platlib"])))


def _harmed(place: str, record: str) -> str | None:
    """The first file that is gone or of another size, or None; scripts name the place they stand in, and may differ."""
    try:
        for path, size in _noted(record):
            if os.stat(os.path.join(place, path)).st_size != size:
                return path
    except FileNotFoundError as err:
        return os.path.relpath(err.filename, place)
    except (OSError, ValueError):
        return os.path.relpath(record, place)
    return None


def _noted(record: str) -> Iterator[tuple[str, int]]:
    with open(record, encoding="utf-8", newline="") as lines:
        for path, _digest, size in csv.reader(lines):
            if size and not path.startswith("..") and CACHED not in path:
                yield path, int(size)

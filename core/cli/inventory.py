"""Whether the packages that this Python is to have are there, each in its version and with all its files."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

# A pin with a condition may be meant for another system.
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)\s*(;?)", re.MULTILINE)


def gaps_in(requirements: Path) -> list[str]:
    """What is missing of the pins of a requirements file, in this Python: a sentence for each package."""
    pins = _PIN.findall(requirements.read_text(encoding="utf-8"))
    gaps = [_gap(name, version, is_conditional=bool(condition)) for name, version, condition in pins]
    return [gap for gap in gaps if gap is not None]


def _gap(name: str, version: str, *, is_conditional: bool) -> str | None:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None if is_conditional else f"{name} {version} is missing"
    if found.version != version:
        return f"{name} is there as {found.version}, not as {version}"
    harmed = _harmed(found)
    return f"{name} {version} lacks {len(harmed)} of its files, such as {harmed[0]}" if harmed else None


def _harmed(found: Distribution) -> list[str]:
    """The files that are gone or of another size than the package brought. Its programs name places, and may differ."""
    harmed = []
    for file in found.files or ():
        if file.parts[0] == ".." or "__pycache__" in file.parts:
            continue
        try:
            is_whole = file.size in (None, Path(str(file.locate())).stat().st_size)
        except OSError:
            is_whole = False
        if not is_whole:
            harmed.append(str(file))
    return harmed

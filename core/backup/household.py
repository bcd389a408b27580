"""Which services a Me remembers, read from its documents without touching them, whether a core runs or not."""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.model.errors import FileDamaged, NotFound
from core.registry import Service
from core.vault import PrivateFile

BYTES_MAX = 64 * 1024 * 1024


class Remembered(msgspec.Struct, frozen=True):
    """A service, and whether it is installed; of another one only the data is kept."""

    service: Service
    is_installed: bool


def remembered(me: Path) -> dict[str, Remembered]:
    """The services of `me` by their ids; raises NotFound for a folder that is no Me, and FileDamaged."""
    path = me / "locker.json"
    try:
        text = PrivateFile(path, bytes_max=BYTES_MAX).read()
        if text is None:
            raise NotFound(f"{me} holds no data of Locker's", remedy="Say where your data is: --me DIR.")
        tables = msgspec.json.decode(text, type=dict[str, dict[str, dict[str, object]]])
    except (OSError, msgspec.MsgspecError) as err:
        raise FileDamaged(f"{path} cannot be read") from err
    found: dict[str, Remembered] = {}
    for row in tables.get("services", {}).values():
        state = row.get("state", "installed")
        if state not in ("installed", "kept"):
            continue
        try:
            service = msgspec.convert({k: v for k, v in row.items() if k != "state"}, Service)
        except msgspec.ValidationError:
            continue
        found[service.id] = Remembered(service, state == "installed")
    return dict(sorted(found.items()))

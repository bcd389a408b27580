"""Runs one change of the services again and again, ended each time at another step of its file work.

`python -m tests.registry.crash <change> <folder>` prints one line per step: what a restart then finds.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.registry.conftest import MAIL_SETTINGS, Registry

#: What changes a file or a folder; every one of them is a place to die at.
STEPS = frozenset({"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.chmod"})
STEPS_MAX = 200
SWAPPED: dict[str, Any] = {"token": "SECRET-new", "accounts": list(reversed(MAIL_SETTINGS["accounts"]))}

CHANGES: dict[str, Callable[[Registry], object]] = {
    "install": lambda registry: registry.install_mail(),
    "update": lambda registry: registry.services.update_settings("mail", SWAPPED),
    "keep": lambda registry: registry.services.uninstall("mail", erase=False),
    "erase": lambda registry: registry.services.uninstall("mail", erase=True),
}


def die_at(step: int) -> None:
    """End this process, as SIGKILL would, before its file work number `step`."""
    left = step

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        if event in STEPS or writes:
            left -= 1
            if left == 0:
                os._exit(9)

    sys.addaudithook(hook)


def found_after(registry: Registry) -> str:
    """What a restart finds, as one word per fact."""
    services = registry.reopen()
    ids = [service.id for service in services.list()]
    settings = services.settings_of("mail") if "mail" in ids else None
    told = [("absent", None), ("old", MAIL_SETTINGS), ("new", SWAPPED)]
    words = [next((word for word, those in told if settings == those), f"mixed {settings}")]
    words += ["kept"] if services.kept() else []
    words += ["data"] if (registry.me / "mail" / "store.db").exists() else []
    words += ["folder"] if (registry.me / "mail").exists() and "mail" not in ids else []
    words += ["grave"] if any(registry.me.glob(".erasing-*")) else []
    words += [f"notice {notice}" for notice in services.notices]
    if "mail" not in ids and not services.kept() and registry.install_mail().id != "mail":
        words.append("taken")
    return " ".join(words)


def main(change: str, folder: Path) -> None:
    """Every step in turn, until the change comes to its end."""
    for step in range(1, STEPS_MAX):
        place = folder / str(step)
        registry = Registry(place)
        if change != "install":
            registry.install_mail()
            (registry.me / "mail" / "store.db").touch()
        child = os.fork()
        if child == 0:
            registry.reopen()
            die_at(step)
            CHANGES[change](registry)
            os._exit(0)
        _pid, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), found_after(registry), flush=True)
        shutil.rmtree(place)
        if os.waitstatus_to_exitcode(status) == 0:
            return
    raise SystemExit(f"{change} took more than {STEPS_MAX} steps")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

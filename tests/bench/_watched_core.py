"""`python -m core.cli` with marks at the steps of a cold start, and a warm parent that has them too."""

from __future__ import annotations

import os
import sys
from typing import Any

from core.cli import main
from core.process.zygote import Zygote
from tests.bench import _marks

PARENT = "core.process.warm_parent"
STEPS = (
    ("core.web.access", "Access._judge"),
    ("core.gateway.door", "Door._running"),
    ("core.process.charge", "Charge._launched"),
    ("core.process.charge", "Charge._run"),
    ("core.process.zygote", "Zygote.fork"),
    ("core.process.orphans", "ChildRoll.enter"),
    ("core.process.child", "Child.__init__"),
    ("core.process.child", "Child._hear_stdout"),
    ("core.process.child", "Child._check_port"),
    ("core.gateway.connection", "Pool.connect"),
    ("core.gateway.connection", "Connection.begin"),
    ("core.gateway.connection", "Connection.data_received"),
)


def _with_marks(make: Any) -> Any:
    def made(self: Any, **named: Any) -> None:
        make(self, **named)
        # The same words behind another module's name: `python -m <module> --preload …`.
        self._command[self._command.index(PARENT)] = f"{__package__}._watched_parent"
        self._environment[_marks.VARIABLE] = os.environ[_marks.VARIABLE]

    return made


if __name__ == "__main__":
    shelf = _marks.shelf_of("core")
    for module, name in STEPS:
        _marks.watch(shelf, module, name)
    Zygote.__init__ = _with_marks(Zygote.__init__)  # type: ignore[method-assign]
    sys.exit(main(sys.argv[1:]))

"""What a store's next writer may declare, and a writer in a process of its own: it opens, commits, closes."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from core.model.clock import ManualClock
from core.model.fact import Change
from core.model.manifest import TypeSpec
from core.store import Store
from tests.contracts.keepers import ORIGIN
from tests.contracts.model import SPEC

DECLARED: tuple[dict[str, TypeSpec], ...] = (
    {"note": msgspec.structs.replace(SPEC, volatile=("views",))},
    {
        "note": TypeSpec(name="note", index=("n",), common={"name": "name"}),
        "other": TypeSpec(name="other", index=("n",)),
    },
    {},
)


def main() -> None:
    """FOLDER NOW KEY N: commit one note, under the first declarations."""
    folder, now, key, n = sys.argv[1:]
    types, clock = DECLARED[0], ManualClock(float(now))
    with Store.open(Path(folder), types=types, origin=ORIGIN, clock=clock) as store:
        store.commit([Change(type="note", key=key, value={"n": int(n)})])


if __name__ == "__main__":
    main()

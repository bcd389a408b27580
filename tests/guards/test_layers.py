"""Who may import whom: a lower rank never sees a higher one, equals never see each other."""

from __future__ import annotations

from tests.guards.source import imports, modules

RANKS = {
    "core.model": 0,
    "core.store": 1, "core.vault": 1, "core.config": 1, "core.environment": 1,
    "core.process": 2, "core.registry": 2, "core.netstore": 2, "core.records": 2,
    "core.events": 3, "core.gateway": 3, "core.schedule": 3, "core.backup": 3,
    "core.library": 3,
    "core.web": 4,
    "core.assembly": 5,
    "core.cli": 6,
    "locker": 7,
}  # fmt: skip
SDK_MAY = ("connectors.sdk", "core.model", "core.store", "core.netstore", "core.records", "core.vault.cipher")
CONNECTOR_MAY = ("connectors.sdk", "core.model")
# A child runs with what these give it; entering the room by its face would load what only the core needs.
FACES_PASSED = {
    "connectors.sdk": ("core.vault.cipher",),
    "core.assembly": (),
}


def room_of(name: str) -> str:
    """`core.store.log.facts` lives in `core.store`, `connectors.feeds.sync` in `connectors.feeds`."""
    return name if name in RANKS else ".".join(name.split(".")[:2])


def test_every_room_has_a_rank() -> None:
    """A new room is given its place on purpose."""
    rooms = {room_of(name) for name in modules() if name.startswith("core.")}

    assert {room for room in RANKS if room.startswith("core.")} >= rooms


def test_lower_ranks_never_see_higher_ones() -> None:
    """An import goes down the table, or stays inside its room."""
    faults = []
    for name in modules():
        if name.startswith("connectors") or name == "core":
            continue
        for target, line in imports(name):
            other = room_of(target)
            if other == room_of(name) or not target.startswith(("core", "connectors", "locker")) or target == "core":
                continue
            if other.startswith("connectors") or RANKS[other] >= RANKS[room_of(name)]:
                faults.append(f"{name}:{line} imports {target}")

    assert [] == faults


def test_connectors_stay_on_their_side() -> None:
    """The SDK knows six places of the core; a connector knows the SDK and the words."""
    faults = []
    for name in modules():
        if not name.startswith("connectors."):
            continue
        allowed = SDK_MAY if room_of(name) == "connectors.sdk" else (*CONNECTOR_MAY, room_of(name))
        for target, line in imports(name):
            if target.startswith(("core", "connectors")) and not target.startswith(allowed):
                faults.append(f"{name}:{line} imports {target}")

    assert [] == faults


def test_another_room_is_entered_by_its_face() -> None:
    """`from core.store import Store`, never `from core.store.log.facts import …`; the words are all face."""
    faults = []
    for name in modules():
        for target, line in imports(name):
            other = room_of(target)
            if target == other or other == room_of(name) or not target.startswith(("core.", "connectors.")):
                continue
            if other == "core.model" or target.startswith(FACES_PASSED.get(room_of(name), ("-",))):
                continue
            faults.append(f"{name}:{line} enters {other} by {target}")

    assert [] == faults


def test_the_two_ends_of_the_wire_share_only_the_wire() -> None:
    """Server and client of netstore never see each other: what both know lies above them."""
    ends = "core.netstore.server", "core.netstore.client"
    faults = [
        f"{name}:{line} imports {target}"
        for here, there in (ends, reversed(ends))
        for name in modules()
        if name.startswith(here)
        for target, line in imports(name)
        if target.startswith(there)
    ]

    assert [] == faults


def test_no_import_cycles_inside_a_room() -> None:
    """Modules that import each other are one module, or three."""
    graph = {name: {t for t, _ in imports(name) if t in modules() and t != name} for name in modules()}
    done: set[str] = set()
    cycles: list[list[str]] = []

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            cycles.append([*path[path.index(name) :], name])
        elif name not in done:
            for target in sorted(graph[name]):
                visit(target, [*path, name])
            done.add(name)

    for name in sorted(graph):
        visit(name, [])

    assert [] == cycles

"""What decides is pure: the modules marked ◆ touch no clock, socket, file, thread, process, database or web."""

from __future__ import annotations

import ast

import pytest

from tests.guards.source import imports, modules, tree

PURE = (
    "core.netstore.protocol",
    "core.model.filter.grammar",
    "core.model.filter.matching",
    "core.model.filter.tokens",
    "core.model.filter.tree",
    "core.process.lifecycle",
    "core.model.frames",
    "core.model.strict",
    "core.events.match",
    "core.gateway.headers",
    "core.schedule.plan",
    "core.registry.pattern",
    "core.registry.settings",
    "core.cli.places",
    "core.events.cursor",
    "core.events.patience",
    "core.gateway.address",
    "core.library.days",
    "core.store.asking.diff",
    "core.store.asking.exact",
    "core.store.exchange.columns",
    "core.store.log.digest",
    "core.store.log.fold",
    "core.store.words.letters",
    "core.store.words.markup",
    "core.store.moments",
    "core.store.paths",
    "core.store.asking.projection",
    "core.store.care.walfile",
    "core.store.words.snippet",
    "core.store.words.wanted",
    "core.store.asking.where",
    "core.web.caller",
)
WORLD = {
    "time", "datetime.datetime.now", "socket", "ssl", "os", "io", "pathlib", "shutil", "tempfile", "threading",
    "asyncio", "concurrent", "multiprocessing", "subprocess", "signal", "select", "random", "secrets", "sqlite3",
    "apsw", "tinydb",
    "flask", "requests", "urllib.request", "http.client", "http.server", "uvicorn", "logging",
}  # fmt: skip


@pytest.mark.parametrize("name", PURE)
def test_a_deciding_module_touches_no_world(name: str) -> None:
    """It imports nothing that reads or changes anything outside its arguments, and opens no file."""
    touched = {t for t, _ in imports(name) if t in WORLD or t.split(".")[0] in WORLD}
    calls = {
        node.func.id
        for node in ast.walk(tree(modules()[name]))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert set() == touched
    assert set() == calls & {"open", "print", "input"}


@pytest.mark.parametrize("name", PURE)
def test_a_deciding_module_stands_on_pure_ground(name: str) -> None:
    """What it imports of ours is the words, or pure itself."""
    ours = {target for target, _ in imports(name) if target.startswith(("core.", "connectors."))}

    assert {t for t in ours if not t.startswith("core.model") and t not in PURE} == set()


def test_one_module_reads_the_clock() -> None:
    """`time.time` and `datetime.now` are called in core/model/clock.py alone; loops may measure with monotonic time."""
    faults = []
    for name, path in modules().items():
        if name in ("core.model.clock", "locker"):
            continue
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                continue
            if (node.value.id, node.attr) in {
                ("time", "time"),
                ("datetime", "now"),
                ("datetime", "utcnow"),
                ("date", "today"),
            }:
                faults.append(f"{name}:{node.lineno}")

    assert [] == faults

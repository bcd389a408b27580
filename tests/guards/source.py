"""What the guards look at: the source files of the project, parsed once."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def modules() -> dict[str, Path]:
    """Every module of the product by its dotted name, packages by the name of their folder."""
    found = {"locker": ROOT / "locker.py"}
    for top in ("core", "connectors"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of one file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def imports(name: str) -> frozenset[tuple[str, int]]:
    """The dotted names that a module imports anywhere, functions included, with the line.

    `from core.model import ids` counts as `core.model.ids` where that is a module, else as `core.model`.
    """
    known = modules()
    found: set[tuple[str, int]] = set()
    for node in ast.walk(tree(known[name])):
        if isinstance(node, ast.Import):
            found.update((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: imports are absolute"
            for alias in node.names:
                joined = f"{node.module}.{alias.name}"
                found.add((joined if joined in known else str(node.module), node.lineno))
    return frozenset(found)

"""A room's __init__ is its contents page, and everything public says what it is."""

from __future__ import annotations

import ast
import importlib

import pytest

from tests.guards.source import modules, tree

ROOMS = [
    "core.backup", "core.config", "core.store", "core.vault", "core.process", "core.registry", "core.events",
    "core.gateway", "core.schedule", "core.library", "core.netstore", "core.web", "connectors.sdk",
]  # fmt: skip


@pytest.mark.parametrize("room", ROOMS)
def test_the_contents_page_is_sorted_and_true(room: str) -> None:
    """`__all__` is in order (constants, classes, functions, each by name) and is all that is public, but submodules."""
    face = importlib.import_module(room)
    public = {n for n in vars(face) if not n.startswith("_") and f"{room}.{n}" not in modules() and n != "annotations"}

    assert sorted(face.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)) == list(face.__all__)
    assert set(face.__all__) == public


def test_everything_public_has_a_docstring() -> None:
    """Modules, public classes, and public functions outside a class say what the caller gets."""
    bare = []
    for name, path in modules().items():
        module = tree(path)
        if not ast.get_docstring(module) and module.body:
            bare.append(name)
        for node in module.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if not node.name.startswith("_") and not ast.get_docstring(node):
                bare.append(f"{name}.{node.name}")

    assert [] == bare

"""No file and no function that everyone keeps adding to."""

from __future__ import annotations

import ast

from tests.guards.source import modules, tree

LINES_MAX = 500
FUNCTION_LINES_MAX = 60
# Each exemption gives its reason.
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}


def test_no_magnet_file() -> None:
    """A file past the cap holds two nouns."""
    long = {name for name, path in modules().items() if len(path.read_text().splitlines()) > LINES_MAX}

    assert set(LONG_FILES) == long


def test_no_magnet_function() -> None:
    """A function past the cap does two things."""
    long = {
        f"{name}.{node.name}"
        for name, path in modules().items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= FUNCTION_LINES_MAX
    }

    assert set(LONG_FUNCTIONS) == long

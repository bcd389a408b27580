"""Examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import core.web

MODULES = [one.name for one in pkgutil.walk_packages(core.web.__path__, "core.web.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    """What a docstring shows is what happens."""
    assert 0 == doctest.testmod(importlib.import_module(name)).failed

"""Docs that cannot lie: links lead somewhere, code blocks parse, examples run, commands and keys exist."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import re
import tomllib
from pathlib import Path

import pytest

from core.model.manifest import parse_manifest
from tests.guards.source import ROOT, modules

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file that is there, and a heading that is in it."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        there = page if not path else (page.parent / path).resolve()
        headings = (
            re.findall(r"^#+ (.+)$", there.read_text(), flags=re.M) if there.suffix == ".md" and there.exists() else []
        )
        slugs = {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}
        if not there.exists() or (anchor and anchor not in slugs):
            broken.append(target)

    assert [] == broken


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_code_blocks_are_what_they_say(page: Path) -> None:
    """Python parses, JSON and TOML load, a whole connector.toml is a manifest without faults."""
    for language, body in FENCE.findall(page.read_text()):
        if language == "python":
            ast.parse(body)
        elif language == "json":
            json.loads(body)
        elif language == "toml":
            document = tomllib.loads(body)
            if "name" in document and "title" in document:
                parse_manifest(body, "/docs")


@pytest.mark.parametrize("name", [n for n in modules() if n.startswith(("core.model", "connectors.sdk"))])
def test_examples_in_docstrings_run(name: str) -> None:
    """What a docstring shows is what happens."""
    results = doctest.testmod(importlib.import_module(name))

    assert 0 == results.failed

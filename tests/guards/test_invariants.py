"""Every promise has a number, and a test that keeps it."""

from __future__ import annotations

import re

from tests.guards.source import ROOT


def test_each_invariant_names_tests_that_exist_and_mention_it() -> None:
    """docs/invariants.md points at tests; each pointed-at test carries the number."""
    text = (ROOT / "docs" / "invariants.md").read_text()
    sections = re.split(r"^## (INV-\d\d)\b", text, flags=re.M)[1:]
    faults = []
    for number, body in zip(sections[::2], sections[1::2], strict=True):
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", body)
        if not named:
            faults.append(f"{number} names no test")
        for path, test in named:
            source = (ROOT / path).read_text() if (ROOT / path).exists() else ""
            function = re.search(rf"def {test}\(.*?(?=\n(?:async )?def |\n@|\Z)", source, flags=re.S)
            if function is None or number not in function[0]:
                faults.append(f"{number}: {path}::{test} is missing or does not mention it")

    assert [] == faults
    assert [f"INV-{n:02}" for n in range(1, len(sections) // 2 + 1)] == sections[::2]
    assert len(sections) // 2 >= 12


def test_source_mentions_only_numbered_invariants() -> None:
    """A number in a comment leads somewhere."""
    known = set(re.findall(r"^## (INV-\d\d)\b", (ROOT / "docs" / "invariants.md").read_text(), flags=re.M))
    used = {
        number
        for top in ("core", "connectors", "tests")
        for path in (ROOT / top).rglob("*.py")
        for number in re.findall(r"INV-\d\d", path.read_text())
    }

    assert set() == used - known

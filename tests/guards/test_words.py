"""One word, one meaning; no doubt left in the code; no machine or registry named."""

from __future__ import annotations

import re

from tests.guards.source import ROOT, modules

BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "data2"}
BANNED_TEXT = {
    r"\bTODO\b|\bFIXME\b|\bXXX\b|\bHACK\b": "decide, or leave it out",
    r"\bfor now\b|\blegacy\b|\bno longer\b": "code says what is, not what was",
    rf"{re.escape(str(ROOT))}/|/root/": "paths of a machine stay out",
    r"https?://[\w.-]+/simple\b": "a registry is named by its client's configuration",
}


def _texts() -> list[tuple[str, str]]:
    suffixes = {".py", ".md", ".toml", ".html", ".css", ".js", ".txt", ".sh"}
    tops = ("core", "connectors", "docs", "config", ".ci", "tests")
    paths = [p for top in tops for p in sorted((ROOT / top).rglob("*")) if p.is_file()]
    paths += [p for p in ROOT.iterdir() if p.is_file()]
    skipped = ("data", "guards", "node_modules", "__pycache__", ".venv")
    return [
        (str(p.relative_to(ROOT)), p.read_text(encoding="utf-8", errors="replace"))
        for p in paths
        if (p.suffix in suffixes or p.parent.name == ".ci") and not set(p.relative_to(ROOT).parts) & set(skipped)
    ]


def test_modules_are_named_by_nouns() -> None:
    """A thing that cannot be named is not understood yet."""
    assert set() == {name for name in modules() if name.rsplit(".", 1)[-1] in BANNED_NAMES}


def test_no_doubt_and_no_machine_in_the_texts() -> None:
    """Words that mean an open question, a past, a machine's path or a registry's host."""
    faults = [
        f"{path}: {match[0]!r}: {reason}"
        for path, text in _texts()
        for pattern, reason in BANNED_TEXT.items()
        if (match := re.search(pattern, text)) is not None
    ]

    assert [] == faults


def test_the_glossary_defines_each_term_once() -> None:
    """docs/glossary.md is a table of terms without a second meaning."""
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|", (ROOT / "docs" / "glossary.md").read_text(), flags=re.M)
    terms = [term.strip().lower() for row in rows for term in row.split(",")]

    assert len(set(terms)) == len(terms) >= 12

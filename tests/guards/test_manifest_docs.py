"""The reference for authors names every key of connector.toml, and none that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from core.model.errors import ManifestInvalid
from core.model.manifest import COMMON_FIELDS, parse_manifest
from core.model.manifest_table import ManifestTable
from tests.guards.source import ROOT

PAGE = (ROOT / "docs" / "connectors.md").read_text()
CHAPTER = PAGE[PAGE.index("\n## connector.toml\n") : PAGE.index("\n## connector.py\n")]
# One of each table, so that the parser looks for all that may stand in it.
WHOLE = (
    'name = "a"\ntitle = "A"\n[types.NAME]\n[streams.NAME]\n[settings.NAME]\ntype = "string"\n'
    '[features.import]\npath = "/a"\ntitle = "A"\n[features.export]\npath = "/a"\ntitle = "A"\n'
).replace("NAME", "each")
HEADING = re.compile(r"^### (.+)$", flags=re.M)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The keys that the parser looks for, by their full names; `<name>` stands where the author chooses."""
    seen: set[str] = set()
    take = ManifestTable.take

    def watched(reader: ManifestTable, key: str, default: object) -> object:
        full = ".".join(part for part in (reader.prefix, key) if part)
        seen.add(re.sub(r"^(types|streams|settings)\.each\b", r"\1.<name>", full))
        return take(reader, key, default)

    monkeypatch.setattr(ManifestTable, "take", watched)
    parse_manifest(WHOLE, "/docs")
    return seen


def test_every_key_is_documented_and_no_other(taken: set[str]) -> None:
    """What the tables of the chapter list is what the parser takes."""
    keys = {key for key in taken if not any(other.startswith(f"{key}.") for other in taken)}
    documented = set(_documented())

    assert set() == keys - {_known(key, keys) for key in documented}
    assert set() == {key for key in documented if _known(key, keys) is None}


def test_an_undocumented_key_is_a_fault() -> None:
    """The page says so: at the top, in a type, in a stream, in a feature, in the limits."""
    places = ("x = 1\n" + WHOLE, *(WHOLE + f"[{table}]\nx = 1\n" for table in ("limits", "doors", "auth")))
    tables = ("[types.each]\n", "[streams.each]\n", "[features.import]\n", "[features.export]\n")
    for text in (*places, *(WHOLE.replace(table, f"{table}x = 1\n") for table in tables)):
        with pytest.raises(ManifestInvalid, match=r"x: is not a key"):
            parse_manifest(text, "/docs")


def test_every_shared_field_is_documented() -> None:
    """In the row of `common`."""
    (row,) = re.findall(r"^\| `common` \| (.+?) \|", CHAPTER, flags=re.M)

    assert set(COMMON_FIELDS) == set(re.findall(r"`(\w+)`", row))


def _documented() -> Iterator[str]:
    """The keys in the first column of each table, under the name of the table that its heading shows."""
    parts = HEADING.split(CHAPTER)
    for heading, text in [("", parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]:
        table = re.match(r"`\[([^\]]+)\]`", heading)
        prefix = f"{table[1]}." if table is not None and "<name>" in table[1] else ""
        if heading.startswith("`[settings"):
            # What stands in a setting's table is a schema; that it may stand there is all that is looked for.
            yield "settings"
        for cell in re.findall(r"^\| (`[^|]+) \|", text, flags=re.M):
            yield from (prefix + key for key in re.findall(r"`([^`]+)`", cell))


def _known(key: str, keys: set[str]) -> str | None:
    """The key of the parser that a documented one is, or lies in where the parser takes a table as it is."""
    return next((known for known in keys if key == known or key.startswith(f"{known}.")), None)

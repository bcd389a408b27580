"""docs/configuration.md says what the code says: every setting, default and bound, and no other."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

from core.config import Config, Limits, load_config, setting_names

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text()
UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def rows() -> dict[str, list[str]]:
    """The cells of each setting's line by its name."""
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line[:2] == "| "]
    return {row[0].strip("`| "): row[1:] for row in cells if row[0].strip("| ").startswith("`")}


def amount(text: str) -> float:
    """`64 MiB` as a number."""
    match = re.fullmatch(r"([\d.]+) ?(\w*)", text)
    assert match, text
    return float(match[1]) * UNITS[match[2]]


def test_every_setting_has_its_line_and_no_other() -> None:
    """A setting without a line, or a line without a setting, fails here."""
    assert list(rows()) == list(setting_names())


def test_every_setting_is_a_field() -> None:
    """What can be set is what the Config holds, but for what is found out or secret."""
    fields = {f.name for f in dataclasses.fields(Config)} - {"config_dir", "app_keys", "limits"}
    fields |= {f"limits.{f.name}" for f in dataclasses.fields(Limits)}

    assert fields == set(setting_names())


def test_limits_have_the_defaults_and_bounds_of_the_page() -> None:
    """The three numbers of each limit's line are those of the code."""
    written = {name: tuple(amount(cell) for cell in row[:3]) for name, row in rows().items() if "limits." in name}
    coded = {
        f"limits.{f.name}": (f.default, f.metadata["least"], f.metadata["most"]) for f in dataclasses.fields(Limits)
    }

    assert written == coded


def test_settings_have_the_defaults_of_the_page() -> None:
    """A default on the page is the default."""
    plain = {f.name: f.default for f in dataclasses.fields(Config) if f.name in ("port", "host", "spawn", "log_level")}

    assert {name: str(value) for name, value in plain.items()} == {name: rows()[name][0].strip("`") for name in plain}
    assert rows()["open_browser"][0] == "`true`"
    assert rows()["me"][0] == "`Me`"


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    """The page's example loads without a fault, and does what it says."""
    example = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.M | re.S)[0]
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "locker.toml").write_text(example)

    config = load_config(root=tmp_path, config_dir=None, environment={"HOME": str(tmp_path)}, overrides={})

    assert config.port == tomllib.loads(example)["port"]
    assert config.limits.body_bytes_max == 256 * 1024**2

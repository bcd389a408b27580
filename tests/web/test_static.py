"""The stylesheet: small, loading nothing, readable in both schemes."""

from __future__ import annotations

import re

import pytest

from core.web.rendering import STATIC_FOLDER, asset

CSS = (STATIC_FOLDER / "locker.css").read_text()
BYTES_MAX = 16_000
# Text on its ground; the ratio that WCAG asks of ordinary text.
PAIRS = (
    ("ink", "ground"), ("ink", "sheet"), ("muted", "ground"), ("muted", "sheet"), ("accent", "ground"),
    ("accent", "sheet"),
    ("on-accent", "accent"), ("ok", "ok-soft"), ("warn", "warn-soft"), ("bad", "bad-soft"), ("busy", "busy-soft"),
    ("idle", "idle-soft"), ("bad", "sheet"), ("bad", "ground"), ("ink", "busy-soft"), ("muted", "idle-soft"),
)  # fmt: skip
CONTRAST_MIN = 4.5


def colours(scheme: str) -> dict[str, str]:
    """The variables of a scheme."""
    light, dark = re.findall(r":root \{(.*?)\}", CSS, flags=re.S)
    found = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{3,6})\b", light))
    if scheme == "dark":
        found |= dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{3,6})\b", dark))
    return found


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(scheme: str) -> None:
    """Contrast of each text with its ground."""
    found = colours(scheme)
    weak = {}
    for text, ground in PAIRS:
        one, two = sorted((luminance(found[text]), luminance(found[ground])), reverse=True)
        ratio = (one + 0.05) / (two + 0.05)
        if ratio < CONTRAST_MIN:
            weak[text, ground] = round(ratio, 2)

    assert {} == weak


def test_the_stylesheet_is_small_and_loads_nothing() -> None:
    """No import, no address, no font."""
    assert len(CSS.encode()) <= BYTES_MAX
    assert [] == re.findall(r"@import|url\(|@font-face|https?:", CSS)


def test_scripts_put_no_markup_together() -> None:
    """Text goes in as text."""
    for path in STATIC_FOLDER.glob("*.js"):
        assert [] == re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?:", path.read_text()
        )


def test_an_assets_address_changes_with_it() -> None:
    """So that it may be kept for good."""
    assert re.fullmatch(r"/static/locker\.css\?v=[0-9a-f]{12}", asset("locker.css"))

"""Where a record is to be found on the web."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def link_of(common: Mapping[str, Any]) -> str | None:
    """The web address among a record's shared fields; None for anything that a browser might run or open here."""
    link = common.get("link")
    return link if isinstance(link, str) and link.startswith(("https://", "http://")) else None

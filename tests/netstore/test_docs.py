"""The protocol's page names every op, every code and every event of the wire."""

from __future__ import annotations

import re
from pathlib import Path

from core.netstore import protocol
from core.netstore.server.ops import OPS

ROOT = Path(__file__).resolve().parents[2]
SECTION = re.split(r"^## ", (ROOT / "docs" / "protocols.md").read_text(), flags=re.M)


def section() -> str:
    """What the page says of the store's wire."""
    (found,) = [part for part in SECTION if part.startswith("The store's wire")]
    return found


def test_every_op_is_described() -> None:
    """An op that is not on the page is not there for anybody."""
    words = set(re.findall(r"\w+", section()))

    assert set() == set(OPS) - words


def test_no_other_op_is_described() -> None:
    """What stands in the first column of the table is there to be asked for."""
    rows = section().partition("### Ops")[2].partition("### ")[0].splitlines()
    first = [row.split("|")[1] for row in rows if row.startswith("| ")]
    named = {word for cell in first for names in re.findall(r"`([^`]+)`", cell) for word in names.split(", ")}

    # Its kin are.
    assert {"record"} == named - set(OPS)


def test_every_code_is_named() -> None:
    """Those that errors of ours become, and those of the wire itself."""
    codes = {code for _, code in protocol._CODES} | set(protocol._CLASSES)
    words = set(re.findall(r"\w+", section()))

    assert set() == codes - words


def test_every_event_is_named() -> None:
    """What a connection that follows is told."""
    source = "".join((ROOT / "core/netstore/server" / name).read_text() for name in ("push.py", "tail.py"))
    events = set(re.findall(r'"event": ?"(\w+)"', source)) | set(re.findall(r'"event":"(\w+)"', source))

    assert {"fact_written", "caught_up", "lagged", "heartbeat", "draining", "error"} == events
    assert set() == events - set(re.findall(r"\w+", section()))

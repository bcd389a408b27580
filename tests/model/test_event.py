"""Addresses of records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.errors import BadRequest
from core.model.event import Idr

PART = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAME = PART.filter(bool)


@given(NAME, NAME, PART, PART, PART)
def test_idr_awkward_parts(kind: str, network: str, context: str, account: str, key: str) -> None:
    """Any text in any part comes back unchanged: signs, blanks, `_`, capitals and other scripts."""
    idr = Idr(kind, network, context, account, key)

    assert idr == Idr.parse(str(idr))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("tweet://twitter/timeline?id=twitter#1039", ("tweet", "twitter", "timeline", "twitter", "1039")),
        ("service://me/#github", ("service", "me", "", "", "github")),
        ("contact://contacts/#a%2Fb", ("contact", "contacts", "", "", "a/b")),
        ("my_data://push", ("my_data", "push", "", "", "")),
    ],
)
def test_known_addresses(text: str, parts: tuple[str, ...]) -> None:
    """The documented forms are read as documented."""
    assert Idr(*parts) == Idr.parse(text)


@pytest.mark.parametrize(
    "text", ["", "tweet", "://twitter/", "tweet://", "tweet://t/?key=1", "tweet://t/#%FF", "a" * 20000]
)
def test_what_is_no_address(text: str) -> None:
    """Missing parts, foreign queries, wrong UTF-8 and endless texts are refused."""
    with pytest.raises(BadRequest):
        Idr.parse(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the parser fail in another way."""
    try:
        Idr.parse(text)
    except BadRequest as error:
        assert error.remedy

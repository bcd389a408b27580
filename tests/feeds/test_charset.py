"""Bytes and what they claim to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.feeds.charset import decoded

DECLARED = '<?xml version="1.0" encoding="{}"?><a>grün Ünïcödé</a>'


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (DECLARED.format("utf-8").encode(), ""),
        (DECLARED.format("iso-8859-1").encode("latin-1"), ""),
        (DECLARED.format("windows-1252").encode("cp1252"), "text/xml"),
        (DECLARED.format("utf-16").encode("utf-16"), ""),
        (DECLARED.format("utf-16").encode("utf-16-le"), ""),
        (DECLARED.format("utf-16").encode("utf-16-be"), ""),
        (b"\xef\xbb\xbf" + DECLARED.format("utf-8").encode(), "text/xml; charset=iso-8859-1"),
        ("<a>grün Ünïcödé</a>".encode("latin-1"), "text/xml; charset=ISO-8859-1"),
        ("<a>grün Ünïcödé</a>".encode(), ""),
    ],
)
def test_what_is_said_rightly_is_believed(body: bytes, content_type: str) -> None:
    """A mark, the declaration, the server's word: no note."""
    text, note = decoded(body, content_type)

    assert "grün Ünïcödé" in text
    assert note is None


@pytest.mark.parametrize(
    ("body", "content_type", "note"),
    [
        (DECLARED.format("iso-8859-1").encode(), "", "claims iso-8859-1 and is UTF-8"),
        (DECLARED.format("utf-8").encode("latin-1"), "text/xml; charset=latin-1", None),
        (DECLARED.format("utf-8").encode(), "text/xml; charset=latin-1", "claims latin-1 and is UTF-8"),
        (DECLARED.format("latin-1").encode("latin-1"), "text/xml; charset=utf-8", "is latin-1, not utf-8"),
        (DECLARED.format("x-martian").encode(), "", "claims x-martian and is UTF-8"),
        (DECLARED.format("utf-8").encode("latin-1"), "", "not declared"),
        (DECLARED.format("undefined").encode("latin-1"), "", "not declared"),
    ],
)
def test_what_is_said_wrongly_is_found_out(body: bytes, content_type: str, note: str | None) -> None:
    """The bytes go before the claims, and the owner is told."""
    text, told = decoded(body, content_type)

    assert "grün" in text
    assert (note is None and told is None) or (note is not None and note in str(told))


def test_pure_ascii_is_what_it_claims() -> None:
    """Japanese in seven bits looks like ASCII."""
    text, note = decoded('<?xml version="1.0" encoding="iso-2022-jp"?><a>日本</a>'.encode("iso-2022-jp"), "")

    assert ("日本", None) == (text[text.index("<a>") + 3 : -4], note)


def test_gb2312_means_its_superset() -> None:
    """Pages that claim it use letters of gb18030."""
    body = '<?xml version="1.0" encoding="gb2312"?><a>镕</a>'.encode("gb18030")

    assert "镕" in decoded(body, "")[0]


@given(st.binary(max_size=300), st.sampled_from(["", "text/xml; charset=utf-8", "x; charset=idna", "x; charset=hex"]))
def test_any_bytes_become_text(body: bytes, content_type: str) -> None:
    """Never an error."""
    text, _ = decoded(body, content_type)

    assert isinstance(text, str)

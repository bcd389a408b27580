"""What a manifest offers beside records, and what a child answers to a file."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.manifest import Manifest
from core.web.dashboard.features import SENTENCE_LENGTH_MAX, Feature, content_type_of, feature, said


def manifest(**features: Any) -> Manifest:
    """A connector with these features."""
    return Manifest(name="x", title="X", folder="/c/x", features=features)


def test_what_is_declared_is_offered() -> None:
    """What a browser should offer may be left open."""
    found = manifest(
        **{
            "import": {"path": "/opml", "title": "Load", "accept": ".opml"},
            "export": {"path": "/opml", "title": "Save"},
        }
    )

    assert Feature("/opml", "Load", ".opml") == feature(found, "import")
    assert Feature("/opml", "Save") == feature(found, "export")
    assert (None, None) == (feature(manifest(), "import"), feature(None, "export"))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"added": 1200, "known": 1}', "1,200 added, 1 known."),
        (b'{"refused": ["a", "b"], "refused_count": 2}', "2 refused: a, b."),
        (b'{"detail": " All  is well. "}', "All is well."),
        (b'{"ok": true}', "The file was taken."),
        (b"", "The file was taken."),
        (b"[1]", "The file was taken."),
    ],
)
def test_an_answer_is_a_sentence(body: bytes, sentence: str) -> None:
    """Whatever form it has."""
    assert sentence == said(body)


@given(st.binary(max_size=2000))
def test_no_answer_breaks_it(body: bytes) -> None:
    """It comes from a connector."""
    assert 0 < len(said(body)) <= SENTENCE_LENGTH_MAX


def test_a_content_type_is_plain() -> None:
    """Nothing that could be a header of its own passes."""
    assert ["text/x-opml", "application/octet-stream", "application/octet-stream"] == [
        content_type_of(text) for text in ("text/x-opml", "text/x\r\nCookie: a", None)
    ]

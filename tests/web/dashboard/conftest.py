"""The dashboard as its owner's browser asks for it."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from tests.web.conftest import Answer, Site

Browse = Callable[..., Answer]


@pytest.fixture
def browse(site: Site) -> Browse:
    """Asks as the logged-in owner's browser; fields make it a POST."""
    cookie = site.login()

    def ask(path: str, fields: dict[str, str] | None = None, *, post: bool = False) -> Answer:
        if fields is None and not post:
            return site.browse(path, cookie)
        return site.browse(path, cookie, method="POST", body=urlencode(fields or {}).encode())

    return ask


def text_of(answer: Answer) -> str:
    """What a person reads: without tags, blanks made one."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())

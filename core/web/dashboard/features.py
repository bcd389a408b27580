"""What a connector's manifest offers beside records: a file that it takes, and a file that it gives. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from core.model.manifest import Manifest
from core.web.dashboard.values import plain

SENTENCE_LENGTH_MAX = 600
_CONTENT_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,80}/[A-Za-z0-9!#$&^_.+-]{1,80}")


@dataclass(frozen=True)
class Feature:
    """One of the two: `path` is under the service's own address, `accept` which files a browser offers."""

    path: str
    title: str
    accept: str = ""


def feature(manifest: Manifest | None, name: Literal["import", "export"]) -> Feature | None:
    """What `[features.<name>]` declares, or None where there is no such table."""
    table = manifest.features.get(name) if manifest else None
    return None if table is None else Feature(table["path"], table["title"], table.get("accept", ""))


def content_type_of(text: str | None) -> str:
    """A file's content type as its browser says, where that can be passed on."""
    return text if text and _CONTENT_TYPE.fullmatch(text) else "application/octet-stream"


def said(body: bytes) -> str:
    """What a child answers to a file, as a sentence.

    >>> said(b'{"added": 2, "known": 1, "refused": ["x"], "refused_count": 1}')
    '2 added, 1 known, 1 refused: x.'
    """
    try:
        answer = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        answer = None
    if not isinstance(answer, dict):
        return "The file was taken."
    for name in ("detail", "message"):
        if isinstance(answer.get(name), str) and answer[name].strip():
            return _cut(answer[name])
    return _counted(answer)


def _counted(answer: Mapping[str, Any]) -> str:
    numbers = {n: v for n, v in answer.items() if isinstance(v, int) and not isinstance(v, bool)}
    lists = {n: v for n, v in answer.items() if isinstance(v, list) and v and all(isinstance(x, str) for x in v)}
    pieces = []
    for name, number in numbers.items():
        noun = name.removesuffix("_count").replace("_", " ")
        examples = lists.get(name.removesuffix("_count"))
        pieces.append(f"{number:,} {noun}" + (f": {', '.join(examples)}" if examples else ""))
    return _cut(", ".join(pieces) + ".") if pieces else "The file was taken."


def _cut(text: str) -> str:
    return plain(" ".join(text.split()), SENTENCE_LENGTH_MAX)

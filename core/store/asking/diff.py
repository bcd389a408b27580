"""What differs between two JSON documents, field by field, each with its JSON pointer (RFC 6901). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Literal

import msgspec

DIFFERENCES_MAX = 200
SHOWN_BYTES_MAX = 4 * 1024


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One difference: at `path`, something was added, removed or changed.

    Of a value larger than 4 KiB as JSON only the beginning of its text is shown, and `is_cut` says so. `path` leads
    into the later document, of something removed into the earlier one.
    """

    op: Literal["added", "removed", "changed"]
    path: str
    before: Any = msgspec.UNSET
    after: Any = msgspec.UNSET
    is_cut: bool = False


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """The differences in the order of the documents; `is_complete` is False where there are more than are shown."""

    differences: list[Difference]
    is_complete: bool


def differences(before: Any, after: Any) -> Differences:
    """What differs, 200 differences at most; nothing where both say the same.

    Lists are compared between what they begin and what they end with alike.

    >>> [(one.op, one.path) for one in differences({"a": 1, "b": [1, 2, 3]}, {"b": [1, 3], "c": 0}).differences]
    [('removed', '/a'), ('removed', '/b/1'), ('added', '/c')]
    """
    found = list(islice(_between(before, after, ""), DIFFERENCES_MAX + 1))
    return Differences(differences=found[:DIFFERENCES_MAX], is_complete=len(found) <= DIFFERENCES_MAX)


def _between(before: Any, after: Any, path: str) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in before:
            if name not in after:
                yield _removed(before[name], f"{path}/{_escaped(name)}")
            else:
                yield from _between(before[name], after[name], f"{path}/{_escaped(name)}")
        for name in after:
            if name not in before:
                yield _added(after[name], f"{path}/{_escaped(name)}")
    elif isinstance(before, list) and isinstance(after, list):
        yield from _between_lists(before, after, path)
    elif not _is_same(before, after):
        shown, was_cut = _shown(before)
        now, is_cut = _shown(after)
        yield Difference(op="changed", path=path, before=shown, after=now, is_cut=was_cut or is_cut)


def _between_lists(before: list[Any], after: list[Any], path: str) -> Iterator[Difference]:
    shorter = min(len(before), len(after))
    head = next((at for at in range(shorter) if not _is_same(before[at], after[at])), shorter)
    left = shorter - head
    tail = next((at for at in range(left) if not _is_same(before[-1 - at], after[-1 - at])), left)
    for at in range(head, max(len(before), len(after)) - tail):
        if at >= len(before) - tail:
            yield _added(after[at], f"{path}/{at}")
        elif at >= len(after) - tail:
            yield _removed(before[at], f"{path}/{at}")
        else:
            yield from _between(before[at], after[at], f"{path}/{at}")


def _is_same(before: Any, after: Any) -> bool:
    """Whether two values are the same JSON: true is not 1, and 1.0 is 1."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return before.keys() == after.keys() and all(_is_same(before[name], after[name]) for name in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_is_same, before, after))
    return isinstance(before, bool) == isinstance(after, bool) and bool(before == after)


def _added(value: Any, path: str) -> Difference:
    shown, is_cut = _shown(value)
    return Difference(op="added", path=path, after=shown, is_cut=is_cut)


def _removed(value: Any, path: str) -> Difference:
    shown, is_cut = _shown(value)
    return Difference(op="removed", path=path, before=shown, is_cut=is_cut)


def _shown(value: Any) -> tuple[Any, bool]:
    encoded = msgspec.json.encode(value)
    if len(encoded) <= SHOWN_BYTES_MAX:
        return value, False
    return encoded[:SHOWN_BYTES_MAX].decode("utf-8", "ignore") + "…", True


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")

"""What a connector's sync.py is made of: functions that yield what is new at a source.

@stream("entry", every="30m")
def entries(context, cursor):
    for row in context.session.get(URL, params={"since": cursor}).json():
        yield row
    yield Cursor(row["updated"])
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from connectors.sdk.context import Context
from connectors.sdk.messages import Message
from core.model.errors import Broken
from core.model.ids import TYPE_NAME
from core.model.manifest import FREQUENCY_UNITS_S

_EVERY = re.compile(r"(\d{1,6})\s*([smhdw])")

StreamFunction = Callable[[Context, Any], Iterator[Message]]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A function that yields what is new at the source, and how often it is due (None: as the manifest says)."""

    name: str
    function: StreamFunction
    every_s: int | None = None
    key: str | None = None
    parallel: bool = False

    def __call__(self, context: Context, cursor: Any) -> Iterator[Message]:
        """The stream's rows from `cursor` on, as tests call it."""
        return self.function(context, cursor)


def stream(
    name: str, *, every: str | None = None, key: str | None = None, parallel: bool = False
) -> Callable[[StreamFunction], Stream]:
    """Make a function the stream `name`.

    `every` ("30m", "6h") overrides the manifest's frequency, `key` the type's key path. Streams of a service run
    one after another; a `parallel` one does not wait for the others.
    """
    if not TYPE_NAME.fullmatch(name):
        raise Broken(f"{name!r} cannot name a stream: lower case letters, digits and _, beginning with a letter")
    every_s = None if every is None else _seconds(every, name)

    def declare(function: StreamFunction) -> Stream:
        return Stream(name=name, function=function, every_s=every_s, key=key, parallel=parallel)

    return declare


def streams_of(module: ModuleType) -> Mapping[str, Stream]:
    """The streams that a sync.py declares, by name; raises Broken when two have one name."""
    found: dict[str, Stream] = {}
    for item in vars(module).values():
        if not isinstance(item, Stream) or found.get(item.name) is item:
            continue
        if item.name in found:
            raise Broken(f"{module.__name__} declares the stream {item.name!r} twice")
        found[item.name] = item
    return found


def _seconds(every: str, name: str) -> int:
    match = _EVERY.fullmatch(every.strip())
    if match is None or int(match[1]) == 0:
        raise Broken(f"stream {name!r}: every={every!r} is not a number and one of s m h d w, such as 30m")
    return int(match[1]) * FREQUENCY_UNITS_S[match[2]]

"""OPML, the lists of feeds that programs exchange: read with care, written plainly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from connectors.feeds.charset import decoded
from connectors.feeds.subscriptions import FEEDS_MAX
from core.model.errors import BadRequest, BodyTooLarge

OPML_BYTES_MAX = 8 * 1024 * 1024
# A list may hold as many feeds as may be followed: what is given out can be taken in again.
OUTLINES_MAX = FEEDS_MAX
DEPTH_MAX = 32

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*?\?>")
_LONE_AMPERSAND = re.compile(r"&(?!#\d{1,7};|#x[0-9a-fA-F]{1,6};|amp;|lt;|gt;|quot;|apos;)")


@dataclass(frozen=True, kw_only=True)
class Outline:
    """One feed of a list: its address, its title, the site it belongs to, and the folders it lies in."""

    url: str
    title: str = ""
    site: str = ""
    folders: tuple[str, ...] = ()


def read_opml(body: bytes) -> list[Outline]:
    """The feeds of a list, in order; raises BadRequest saying where it cannot be read."""
    if len(body) > OPML_BYTES_MAX:
        raise BodyTooLarge(f"the list has more than {OPML_BYTES_MAX} bytes", remedy="Split the list.")
    text = _DECLARATION.sub("", decoded(body, "")[0].lstrip("\ufeff \t\r\n"), count=1)
    reader = _Reader()
    # Programs write addresses with bare ampersands into their lists; what is meant is plain.
    reader.read(_LONE_AMPERSAND.sub("&amp;", text))
    if not reader.is_opml:
        raise BadRequest("this is not an OPML document", remedy="Export your feeds as OPML and send that file.")
    return reader.found


def write_opml(title: str, outlines: Iterable[Outline]) -> str:
    """A list that other programs read, each feed in its folder."""
    top = _Folder()
    for outline in outlines:
        top.at(outline.folders[: DEPTH_MAX - 2]).feeds.append(outline)
    head = f"  <head>\n    <title>{quoteattr(title)[1:-1]}</title>\n  </head>"
    body = "\n".join(["  <body>", *top.lines("    "), "  </body>"])
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<opml version="2.0">\n{head}\n{body}\n</opml>\n'


@dataclass
class _Folder:
    """Feeds, and folders by title."""

    feeds: list[Outline] = field(default_factory=list)
    folders: dict[str, _Folder] = field(default_factory=dict)

    def at(self, path: Sequence[str]) -> _Folder:
        """The folder at the end of `path`, made where there is none."""
        found = self
        for title in path:
            found = found.folders.setdefault(title, _Folder())
        return found

    def lines(self, margin: str) -> Iterator[str]:
        """This folder's feeds, then its folders."""
        for one in self.feeds:
            title, site = quoteattr(one.title or one.url), f" htmlUrl={quoteattr(one.site)}" if one.site else ""
            yield f'{margin}<outline type="rss" text={title} title={title} xmlUrl={quoteattr(one.url)}{site}/>'
        for name, folder in self.folders.items():
            yield f"{margin}<outline text={quoteattr(name)} title={quoteattr(name)}>"
            yield from folder.lines(margin + "  ")
            yield f"{margin}</outline>"


class _Reader:
    """Collects outlines; a document that declares entities is refused before any of them is used."""

    def __init__(self) -> None:
        self.found: list[Outline] = []
        self.is_opml = False
        self._path: list[str] = []

    def read(self, text: str) -> None:
        parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.EntityDeclHandler = self._entity
        try:
            parser.Parse(text.encode("utf-8", "replace"), True)
        except expat.ExpatError as err:
            raise BadRequest(f"the list is not XML at line {err.lineno}: {expat.ErrorString(err.code)}") from err

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        folded = {key.lower(): value for key, value in attributes.items()}
        if name.lower() == "opml":
            self.is_opml = True
        title = folded.get("title") or folded.get("text") or ""
        if len(self._path) > DEPTH_MAX:
            raise BadRequest(f"the list is nested deeper than {DEPTH_MAX} levels")
        if name.lower() == "outline" and folded.get("xmlurl"):
            if len(self.found) >= OUTLINES_MAX:
                raise BadRequest(f"the list has more than {OUTLINES_MAX} feeds", remedy="Split the list.")
            folders = tuple(step for step in self._path if step)
            self.found.append(
                Outline(url=folded["xmlurl"], title=title, site=folded.get("htmlurl", ""), folders=folders)
            )
        self._path.append(title if name.lower() == "outline" else "")

    def _end(self, _: str) -> None:
        self._path.pop()

    def _entity(self, *_: object) -> None:
        raise BadRequest("a list that declares entities of its own is not read")

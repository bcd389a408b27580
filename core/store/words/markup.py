"""What a person reads of a text that may be HTML; it takes time in proportion to the length, whatever it holds."""

from __future__ import annotations

import html
import re

_INLINE = """
    a abbr b bdi bdo big cite code data del dfn em font i ins kbd label mark q s samp small span strike strong sub sup
    time tt u var wbr
"""
_BLOCK = """
    address area article aside audio base blockquote body br button canvas caption center col colgroup dd details
    dialog div dl dt embed fieldset figcaption figure footer form frame h1 h2 h3 h4 h5 h6 head header hgroup hr html
    iframe img input legend li link main map menu meta meter nav noscript object ol optgroup option output p param
    picture pre progress ruby rp rt script section select slot source style summary svg table tbody td template
    textarea tfoot th thead title tr track ul video
"""
_READ_AS = {**dict.fromkeys(_INLINE.split(), ""), **dict.fromkeys(_BLOCK.split(), " ")}
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)(?:\s[^<>]*)?/?>|<!doctype[^<>]*>", re.I)
_UNREAD = re.compile(r"<!--|<(script|style)(?:\s[^<>]*)?>", re.I)
_ENDS = {
    None: re.compile(r"-->"),
    "script": re.compile(r"</script\s*>", re.I),
    "style": re.compile(r"</style\s*>", re.I),
}


def plain_text(text: str) -> str:
    """`text` without tags, comments, scripts and styles, its entities spelled out.

    What is no tag of HTML stays: `a < b` and `List<String>` are words too.

    >>> plain_text("<p>Fish &amp; <b>Ch</b>ips<br>now</p>")
    ' Fish & Chips now '
    """
    if "<" in text:
        text = _TAG.sub(_read, _without_unread(text))
    return html.unescape(text) if "&" in text else text


def _read(tag: re.Match[str]) -> str:
    return _READ_AS.get(tag[1].lower(), tag[0]) if tag[1] is not None else " "


def _without_unread(text: str) -> str:
    """`text` without what stands between these tags; one that is never closed hides nothing."""
    kept: list[str] = []
    place = 0
    unclosed: set[str | None] = set()
    for begin in _UNREAD.finditer(text):
        kind = begin[1].lower() if begin[1] else None
        if begin.start() < place or kind in unclosed:
            continue
        end = _ENDS[kind].search(text, begin.end())
        if end is None:
            unclosed.add(kind)
            continue
        kept.append(text[place : begin.start()])
        place = end.end()
    return " ".join((*kept, text[place:])) if kept else text

"""HTML from strangers: as plain text for search and lists, and cleaned for display."""

from __future__ import annotations

import html
import re
from urllib.parse import quote, urljoin, urlsplit

import nh3

from connectors.sdk import is_loopback_host, is_public_host

TEXT_LETTERS_MAX = 100_000
HTML_LETTERS_MAX = 4_000_000
DEPTH_MAX = 400

_BLOCKS = {
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre",
    "section", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
}  # fmt: skip
_DROPPED = {"script", "style", "template", "noscript", "iframe", "object", "embed", "svg", "math", "title", "head"}
_BLOCK = re.compile(r"</?[a-z0-9]+>")
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,20})")
_ANY_TAG = re.compile(r"<[^<>]{0,2000}>")
# They end where the next one begins, or have no inside: left open they nest nothing.
_SHALLOW = frozenset(
    [
        "p",
        "li",
        "dt",
        "dd",
        "td",
        "th",
        "tr",
        "option",
        "br",
        "hr",
        "img",
        "input",
        "wbr",
        "col",
        "source",
        "area",
        "link",
    ]
)
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\s*\n\s*")

_SHOWN_TAGS = {
    "a", "abbr", "audio", "b", "blockquote", "br", "caption", "cite", "code", "col", "colgroup", "dd", "del", "details",
    "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins",
    "kbd", "li", "mark", "ol", "p", "picture", "pre", "q", "rp", "rt", "ruby", "s", "samp", "section", "small",
    "source", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr",
    "u", "ul", "var", "video", "wbr",
}  # fmt: skip
_SHOWN_ATTRIBUTES = {
    "*": {"lang", "dir", "title"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "audio": {"src", "controls"},
    "video": {"src", "controls", "poster", "width", "height"},
    "source": {"src", "type"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "ol": {"start", "type"},
    "time": {"datetime"},
    "blockquote": {"cite"},
}
_ADDRESSES = frozenset({"href", "src", "poster", "cite"})
_SCHEMES = frozenset({"http", "https", "mailto"})
_SAFE_IN_URL = "%/:=&?~#+!$,;'@()*[]"

# Pictures nobody sees: they only tell somebody that, when and where an entry was read.
_PIXEL = re.compile(r'<img(?=[^>]*\swidth="[01](?:px)?")(?=[^>]*\sheight="[01](?:px)?")[^>]*>')
_COUNTERS = re.compile(
    r"(?:^|[./])(?:feeds\.feedburner\.com/~[rf]|feedburner\.com/~r|feedsportal\.com|pixel\.wp\.com|stats\.wordpress\.com"
    r"|doubleclick\.net|google-analytics\.com|statcounter\.com|pixel\.quantserve\.com|share\.feedsportal)"
)


def depth_of(markup: str) -> int:
    """How deep tags may be nested at most; cleaning takes time that grows with its square."""
    depth = deepest = 0
    for closing, name in _TAG.findall(markup):
        if name.lower() in _SHALLOW:
            continue
        depth = max(0, depth - 1) if closing else depth + 1
        deepest = max(deepest, depth)
    return deepest


def text_of(markup: str) -> str:
    """The words of an HTML fragment, a line for each block; at most 100,000 letters.

    >>> text_of("<p>one &amp; <b>two</b></p><script>x</script><ul><li>three</ul>")
    'one & two\\nthree'
    """
    markup = _tamed(markup)
    # The cleaner's own output is well-formed and has no attributes, so what follows may take it apart by its tags.
    bare = nh3.clean(markup, tags=_BLOCKS, clean_content_tags=_DROPPED, attributes={})
    return squeezed(html.unescape(_BLOCK.sub("\n", bare)))


def squeezed(text: str) -> str:
    """Plain text with blanks and empty lines drawn together."""
    return _LINES.sub("\n", _BLANKS.sub(" ", text.replace("\xa0", " "))).strip()[:TEXT_LETTERS_MAX]


def shown(markup: str, *, base: str, home: str) -> str:
    """An HTML fragment that a browser may show: no script, no frame, no counter, links made absolute by `base`.

    `home` is the host of the feed itself, to which its entries may lead even inside the owner's network.
    """

    def attribute(tag: str, name: str, value: str) -> str | None:
        if name in _ADDRESSES:
            address = safe_address(value, base=base, home=home)
            is_counter = tag != "a" and address is not None and _COUNTERS.search(address)
            return None if is_counter else address
        # Letters that could end a tag are written otherwise, so that what follows may look at whole tags.
        return value.replace("<", "‹").replace(">", "›")

    cleaned = nh3.clean(
        _tamed(markup),
        tags=_SHOWN_TAGS,
        clean_content_tags=_DROPPED,
        attributes=_SHOWN_ATTRIBUTES,
        attribute_filter=attribute,
        url_schemes=set(_SCHEMES),
        link_rel="noopener noreferrer nofollow",
    )
    return _PIXEL.sub("", cleaned)


def _tamed(markup: str) -> str:
    """Markup that can be cleaned in reasonable time: without tags where they are nested beyond all measure."""
    markup = markup[:HTML_LETTERS_MAX]
    return markup if depth_of(markup) <= DEPTH_MAX else html.escape(_ANY_TAG.sub(" ", markup))


def safe_address(value: str, *, base: str, home: str) -> str | None:
    """The absolute address, or None where it may not lead: this machine, the owner's network, another scheme."""
    try:
        absolute = urljoin(base, value.strip())
        parts = urlsplit(absolute)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return None
    if parts.scheme == "mailto":
        return quote(absolute, safe=_SAFE_IN_URL)
    if parts.scheme not in _SCHEMES or not (is_public_host(host) or (host == home and not is_loopback_host(host))):
        return None
    return quote(absolute, safe=_SAFE_IN_URL)

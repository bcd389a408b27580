"""A feed's bytes as text: by its bytes first, then by what it and its server claim, then by a guess."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

GUESS_BYTES_MAX = 64 * 1024

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BARE = ((b"<\0?\0", "utf-16-le"), (b"\0<\0?", "utf-16-be"))
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
_WESTERN = "cp1252"
_CHARSET = re.compile(r"""charset\s*=\s*["']?([A-Za-z0-9._:-]{1,40})""", re.IGNORECASE)


def decoded(body: bytes, content_type: str) -> tuple[str, str | None]:
    """The text, and a note when it is not in the encoding that was claimed. Never raises."""
    for mark, name in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace"), None
    for start, name in _BARE:
        if body.startswith(start):
            return body.decode(name, "replace"), None
    claims = _claims(body, content_type)
    if (text := _strictly(body, "utf-8")) is not None and _is_surely_utf8(body, claims):
        return text, None if not claims or _is_utf8(claims[0]) else f"it claims {claims[0]} and is UTF-8"
    for claim in claims:
        if (text := _strictly(body, claim)) is not None:
            return text, None if claim == claims[0] else f"it is {claim}, not {claims[0]}"
    guess = _guessed(body)
    return body.decode(guess, "replace"), f"its encoding is not declared; it was read as {guess}"


def _claims(body: bytes, content_type: str) -> list[str]:
    found = []
    if header := _CHARSET.search(content_type):
        found.append(header[1].lower())
    if declared := _DECLARED.match(body[:1024]):
        found.append(declared[1].decode("ascii").lower())
    return found


def _is_surely_utf8(body: bytes, claims: list[str]) -> bool:
    """Bytes above ASCII that happen to be valid UTF-8 are UTF-8, whatever is claimed; pure ASCII tells nothing."""
    return not body.isascii() or not claims or _is_utf8(claims[0])


def _is_utf8(name: str) -> bool:
    return name.replace("_", "-") in ("utf-8", "utf8", "us-ascii", "ascii")


def _strictly(body: bytes, name: str) -> str | None:
    try:
        # gb18030 holds all of gb2312, and is what pages mean that claim it.
        return body.decode("gb18030" if name in ("gb2312", "gbk") else name)
    except (UnicodeError, LookupError):
        return None


def _guessed(body: bytes) -> str:
    found = list(from_bytes(body[:GUESS_BYTES_MAX]))
    if not found:
        return _WESTERN
    # Short texts fit several neighbours equally well; of those the western one is by far the likeliest.
    equal = [match.encoding for match in found if match.chaos <= found[0].chaos]
    return _WESTERN if _WESTERN in equal or "latin_1" in equal else found[0].encoding

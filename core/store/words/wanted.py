"""What a person types to find something, understood whatever it is, and as SQLite's full text index is asked for it.

    lighthouse keeper       both words                  "light house"    these words, one after the other
    light*                  words that begin so         -storm           not this word
    fog OR mist             either                      title:keeper     in the title

OR joins what stands beside it, before the words around are joined: `north fog OR mist` is north, and fog or mist.
Punctuation within a word joins its parts: `o'brien`, `a-b` and `me@example.org` are phrases.
"""

from __future__ import annotations

import re

import msgspec

from core.store.words.letters import words

LETTERS_MAX = 1000
TERMS_MAX = 32
PREFIX_LETTERS_MIN = 2

_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»＂❝❞〝〞", '"'))
_CHUNK = re.compile(
    r"""
    (?P<minus>(?<!\S)-(?=\S))?
    (?:(?P<field>title):\s*(?=\S))?
    (?: "(?P<phrase>[^"]*)(?:"|\Z)(?P<star>\*?) | (?P<word>[^\s"]+) )
    """,
    re.X | re.I,
)
_EITHER = ("OR", "|", "||")
_BOTH = ("AND", "&", "&&", "+")
_NOT = "NOT"


class Term(msgspec.Struct, frozen=True):
    """Words that stand one after the other; with `is_prefix` the last one may go on."""

    words: tuple[str, ...]
    is_prefix: bool = False
    in_title: bool = False


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """All of these groups, any term of a group, and none of the terms that are left out.

    `is_cut` says that it was longer than is looked at: 1000 letters or 32 terms.
    """

    groups: tuple[tuple[Term, ...], ...] = ()
    left_out: tuple[Term, ...] = ()
    is_cut: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for; what is only left out finds nothing either."""
        return not self.groups

    @property
    def terms(self) -> tuple[Term, ...]:
        """What may be found, in order."""
        return tuple(term for group in self.groups for term in group)


def parse_query(text: str) -> Wanted:
    """What `text` asks for; there is no text that it does not understand.

    >>> wanted = parse_query('north "fog bank" OR mist* -storm')
    >>> [[term.words for term in group] for group in wanted.groups], wanted.left_out[0].words
    ([[('north',)], [('fog', 'bank'), ('mist',)]], ('storm',))
    """
    groups: list[tuple[Term, ...]] = []
    left_out: list[Term] = []
    joins = negates = False
    chunks = list(_CHUNK.finditer(text[:LETTERS_MAX].translate(_QUOTES)))
    for chunk in chunks:
        said = chunk["word"]
        if said in _EITHER:
            joins = bool(groups)
        elif said == _NOT:
            negates = True
        elif said not in _BOTH and (term := _term(chunk)) is not None:
            if negates or chunk["minus"]:
                left_out.append(term)
            elif joins:
                groups[-1] = (*groups[-1], term)
            else:
                groups.append((term,))
            joins = negates = False
            if sum(map(len, groups)) + len(left_out) >= TERMS_MAX:
                break
    is_cut = len(text) > LETTERS_MAX or (bool(chunks) and chunk is not chunks[-1])
    return Wanted(groups=tuple(dict.fromkeys(groups)), left_out=tuple(dict.fromkeys(left_out)), is_cut=is_cut)


def expression(wanted: Wanted, *, marks: tuple[str, ...] = ()) -> str:
    """The FTS5 query; every word in it is quoted, so none can be an operator.

    `marks` are words of the index's own, of which one must be in the title. Its phrases come in the order of
    `wanted.terms`, and others after them.
    """
    found = " AND ".join(f"({' OR '.join(map(_quoted, group))})" for group in wanted.groups)
    if wanted.left_out:
        found = f"({found}) NOT ({' OR '.join(map(_quoted, wanted.left_out))})"
    if marks:
        either = " OR ".join(f'"{mark}"' for mark in marks)
        found = f"({found}) AND title : ({either})"
    return found


def _term(chunk: re.Match[str]) -> Term | None:
    said = chunk["word"] if chunk["phrase"] is None else chunk["phrase"]
    found = tuple(words(said))
    if not found:
        return None
    has_star = said.rstrip(",.;:!?)").endswith("*") if chunk["phrase"] is None else bool(chunk["star"])
    is_prefix = has_star and (len(found[-1]) >= PREFIX_LETTERS_MIN or not found[-1].isascii())
    return Term(found, is_prefix=is_prefix, in_title=chunk["field"] is not None)


def _quoted(term: Term) -> str:
    return f'{"title : " if term.in_title else ""}"{" ".join(term.words)}"{" *" if term.is_prefix else ""}'

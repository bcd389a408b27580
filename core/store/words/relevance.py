"""How well a version fits what is looked for: a number that needs no look at any other version.

SQLite's own rank counts how often each word occurs in the whole index first, which takes longer the more there is. This
one is BM25 without that count: each word weighs the same, a title counts for several mentions, more mentions count less
and less, and a long text has to mention more. So ranks of several stores can be compared, too.
"""

from __future__ import annotations

import apsw

NAME = "relevance"
TITLE_WEIGHT = 5
_SATURATION = 1.2
_LENGTH_SHARE = 0.6
_USUAL_LENGTH = 100


def register(db: apsw.Connection) -> None:
    """Let the statements of this connection rank what they find: `relevance(text, n)` looks at the first n phrases."""
    db.register_fts5_function(NAME, _relevance)


def _relevance(api: apsw.FTS5ExtensionApi, *arguments: apsw.SQLiteValue) -> float:
    enough = _SATURATION * (1 - _LENGTH_SHARE + _LENGTH_SHARE * api.column_size(-1) / _USUAL_LENGTH)
    score = 0.0
    for phrase in range(int(arguments[0] or 0)):
        in_title, in_body = api.phrase_locations(phrase)
        mentions = TITLE_WEIGHT * len(in_title) + len(in_body)
        score += mentions / (mentions + enough)
    return score

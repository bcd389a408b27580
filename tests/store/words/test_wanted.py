"""What a person types to find something."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.store.words.letters import fold, words
from core.store.words.wanted import LETTERS_MAX, TERMS_MAX, Term, expression, parse_query

DOCUMENTS = {
    1: ("North wind", "The fog bank lay over the light house"),
    2: ("South storm", "Mist and lightning, no fog at all"),
    3: ("Fog", "The lighthouse keeper's log: don't go out"),
    4: ("東京タワー", "吾輩は猫である。名前はまだ無い。"),
    5: ("Straße", "Ärger mit me@example.org 😀 und mehr"),
}


@pytest.fixture(scope="module")
def index() -> apsw.Connection:
    """A small index."""
    db = apsw.Connection("")
    db.execute("CREATE VIRTUAL TABLE text USING fts5(title, body, content='', contentless_delete=1, tokenize='ascii')")
    rows = [(seq, fold(title), fold(body)) for seq, (title, body) in DOCUMENTS.items()]
    db.executemany("INSERT INTO text (rowid, title, body) VALUES (?, ?, ?)", rows)
    return db


def found(index: apsw.Connection, query: str) -> list[int]:
    wanted = parse_query(query)
    if wanted.is_empty:
        return []
    rows = index.execute("SELECT rowid FROM text WHERE text MATCH ? ORDER BY rowid", (expression(wanted),))
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        ("fog", [1, 2, 3]),
        ("fog keeper", [3]),
        ("keeper fog", [3]),
        ("FOG AND Keeper", [3]),
        ('"light house"', [1]),
        ('"house light"', []),
        ("light*", [1, 2, 3]),
        ("LIGHT*", [1, 2, 3]),
        ("fog -storm", [1, 3]),
        ("fog NOT storm", [1, 3]),
        ('fog -"light house" -storm', [3]),
        ("keeper OR mist", [2, 3]),
        ("fog keeper OR mist", [2, 3]),
        ("keeper | mist", [2, 3]),
        ("title:fog", [3]),
        ("title: fog", [3]),
        ('title:"north wind"', [1]),
        ("fog -title:fog", [1, 2]),
        ("title:s*", []),
        ("title:so*", [2]),
        ("don't", [3]),
        ("keeper's", [3]),
        ("me@example.org", [5]),
        ("京タ", [4]),
        ("猫である", [4]),
        ("猫 輩", [4]),
        ("strasse arger", [5]),
        ("😀", [5]),
        ("mehr😀", []),
        ("“light house”", [1]),
        ('"light house', [1]),
        ('fog"light house"', [1]),
        ("-storm", []),
        ("", []),
        ("*", []),
        ("AND OR NOT", []),
        ("OR fog OR", [1, 2, 3]),
        ("(fog)", [1, 2, 3]),
        ("NEAR(fog bank)", []),
        ("body:fog", []),
        ("fog^2 +bank", []),
    ],
)
def test_what_is_typed_finds_what_is_meant(index: apsw.Connection, query: str, seqs: list[int]) -> None:
    """Words, phrases, beginnings, exclusions, alternatives, titles; operators of SQLite's own are but words."""
    assert seqs == found(index, query)


@settings(deadline=None)
@given(st.text())
def test_no_text_is_a_syntax_error(query: str) -> None:
    """Whatever is typed is understood somehow."""
    db = apsw.Connection("")
    db.execute("CREATE VIRTUAL TABLE text USING fts5(title, body, tokenize='ascii')")

    assert [] == found(db, query)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(['"', "*", "-", "OR", "AND", "NOT", "title:", "a", "日", "(", ")", "^", " ", ":", "é", "+"])
    )
)
def test_no_heap_of_operators_is_a_syntax_error(pieces: list[str]) -> None:
    """Nor is any order of what means something."""
    db = apsw.Connection("")
    db.execute("CREATE VIRTUAL TABLE text USING fts5(title, body, tokenize='ascii')")

    assert [] == found(db, "".join(pieces))


def test_a_long_text_is_cut() -> None:
    """Ten kilobytes are no more work than one, and the answer says so."""
    assert parse_query("word " * 2000).is_cut
    assert (TERMS_MAX, True) == (len(parse_query(" ".join(f"w{n}" for n in range(TERMS_MAX + 1))).groups), True)
    assert not parse_query(" ".join(f"w{n}" for n in range(TERMS_MAX))).is_cut
    assert parse_query(" ".join(f"w{n}" for n in range(TERMS_MAX + 1))).is_cut
    assert not parse_query("x" * LETTERS_MAX).is_cut
    assert parse_query("x" * (LETTERS_MAX + 1)).is_cut


def test_a_phrase_of_a_thousand_letters_is_asked_for(index: apsw.Connection) -> None:
    """The longest query there can be runs."""
    assert [] == found(index, "字" * LETTERS_MAX)


def test_one_letter_is_no_beginning() -> None:
    """`a*` would look at a good part of all words; a sign of a script without spaces is a word already."""
    assert (Term(("a",)),) == parse_query("a*").terms
    assert (Term(("ab",), is_prefix=True), Term(("日",), is_prefix=True)) == parse_query("ab* 日*").terms


def test_the_index_own_marks_limit_a_query() -> None:
    """A mark is looked for in the title, beside everything else."""
    assert '(("fog")) AND title : ("\ue0003" OR "\ue0004")' == expression(
        parse_query("fog"), marks=("\ue0003", "\ue0004")
    )


PIECES = ("fog", "Fog", "foghorn", "bank", "日本", "本", "é", "e", "-")
TERMS = st.tuples(
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=3),
    st.booleans(),
)


def typed(term: tuple[bool, bool, list[str], bool]) -> str:
    """A term as a person types it: left out, in the title, a phrase, its end open."""
    is_left_out, in_title, said, is_open = term
    return f'{"-" * is_left_out}{"title:" * in_title}"{" ".join(said)}"{"*" * is_open}'


def holds(term: Term, title: str, body: str) -> bool:
    """Whether a text has the term: looked up word by word."""
    for found in (words(title),) if term.in_title else (words(title), words(body)):
        for start in range(len(found) - len(term.words) + 1):
            *first, last = found[start : start + len(term.words)]
            if first == list(term.words[:-1]) and (
                last.startswith(term.words[-1]) if term.is_prefix else last == term.words[-1]
            ):
                return True
    return False


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.sampled_from(PIECES), max_size=4), st.lists(st.sampled_from(PIECES), max_size=6))),
    st.lists(TERMS, min_size=1, max_size=4),
    st.lists(st.sampled_from([" ", " OR "]), min_size=4, max_size=4),
)
def test_the_index_finds_what_looking_finds(
    documents: list[tuple[list[str], list[str]]],
    terms: list[tuple[bool, bool, list[str], bool]],
    joins: list[str],
) -> None:
    """Against a search that reads every text word by word."""
    texts = [(" ".join(title), " ".join(body)) for title, body in documents]
    db = apsw.Connection("")
    db.execute("CREATE VIRTUAL TABLE text USING fts5(title, body, tokenize='ascii')")
    db.executemany("INSERT INTO text VALUES (?, ?)", [(fold(title), fold(body)) for title, body in texts])
    query = "".join(join + typed(term) for join, term in zip(joins, terms, strict=False)).strip()
    wanted = parse_query(query)
    expected = [
        number
        for number, text in enumerate(texts, start=1)
        if not wanted.is_empty
        and all(any(holds(term, *text) for term in group) for group in wanted.groups)
        and not any(holds(term, *text) for term in wanted.left_out)
    ]

    assert expected == found(db, query)

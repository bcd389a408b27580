"""The text index: every retained version by its words."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model.fact import Change
from core.model.manifest import TypeSpec
from core.store import Reading, Store
from core.store.words import text
from core.store.words.letters import fold
from core.store.words.text import FORM, RECORD_LETTERS_MAX, Put, TextIndex, type_mark

TYPES = {
    "note": TypeSpec(name="note", title="title", text=("body", "more.text"), common={"author": "by.name"}),
    "bare": TypeSpec(name="bare"),
}
READING = Reading(TYPES["note"])
# The tables that the index stands on, as far as it looks at them.
TABLES = """
    CREATE TABLE type (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
    CREATE TABLE fact (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, type INTEGER, key TEXT, deleted INTEGER, value TEXT, common TEXT
    );
    CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY);
    CREATE VIRTUAL TABLE text USING fts5 (title, body, content = '', tokenize = 'ascii');
    INSERT INTO type VALUES (1, 'note'), (2, 'bare');
"""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[apsw.Connection]:
    """A database with the tables and no fact."""
    connection = apsw.Connection(str(tmp_path / "store.db"))
    connection.pragma("secure_delete", True)
    connection.execute(TABLES)
    yield connection
    connection.close()


def add(db: apsw.Connection, *titles: str | None) -> None:
    """A note for each title, a tombstone for None."""
    rows = [(int(title is None), "{}" if title is None else f'{{"title": "{title}"}}') for title in titles]
    db.executemany("INSERT INTO fact (type, key, deleted, value) VALUES (1, 'k', ?, ?)", rows)


def found(db: apsw.Connection, word: str) -> list[int]:
    return [seq for (seq,) in db.execute("SELECT rowid FROM text WHERE text MATCH ? ORDER BY 1", (f'"{word}"',))]


def content(db: apsw.Connection) -> list[tuple[object, ...]]:
    """Everything that the index holds."""
    db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.words USING fts5vocab ('main', 'text', 'instance')")
    return db.execute("SELECT * FROM temp.words ORDER BY 1, 2, 3, 4").fetchall()


@pytest.mark.parametrize(
    ("value", "common", "title", "body"),
    [
        ({"title": "A", "body": "b"}, {}, "A", "b"),
        ({"title": "<b>A</b> &amp; B", "body": "<p>c</p><p>d</p>"}, {}, "A & B", "c d"),
        ({"title": ["A", "B"], "body": {"x": "c", "y": ["d", 5, True, None]}}, {}, "A B", "c d 5"),
        ({"more": {"text": "deep"}, "by": {"name": "Ann"}}, {}, "", "deep Ann"),
        ({"title": "A", "body": "same"}, {"title": "A", "text": "same", "people": [{"name": "Bo"}]}, "A", "same Bo"),
        ({}, {"title": "computed", "summary": "short", "link": "https://example.org"}, "computed", "short"),
        ({"title": 42, "body": None}, {}, "42", ""),
        ({"other": "x"}, {}, "", ""),
    ],
)
def test_what_a_record_says(value: dict[str, object], common: dict[str, object], title: str, body: str) -> None:
    """Declared paths and shared fields, each text once, lists joined, HTML as it is read."""
    assert title.split() == READING.title(value, common).split()
    assert body.split() == READING.body(value, common).split()


def test_a_type_that_declares_nothing_has_its_shared_words() -> None:
    """What code computed is worth finding, whatever is declared."""
    reading = Reading(TYPES["bare"])

    assert ("t", "b") == (reading.title({"title": "x"}, {"title": "t"}), reading.body({"body": "x"}, {"text": "b"}))


def test_a_great_record_is_looked_at_as_far_as_allowed() -> None:
    """A quarter of a mebibyte, of all its texts together."""
    assert RECORD_LETTERS_MAX == len(READING.body({"body": "x" * RECORD_LETTERS_MAX}, {}))
    assert RECORD_LETTERS_MAX == len(READING.body({"body": "x" * (RECORD_LETTERS_MAX + 1)}, {}))
    assert RECORD_LETTERS_MAX == len(READING.body({"body": ["x" * RECORD_LETTERS_MAX, "y"]}, {}))


def test_every_version_is_indexed_and_no_tombstone(db: apsw.Connection) -> None:
    """So that a search as of a date finds what a record said then."""
    add(db, "first", "second", None, "first again")
    index = TextIndex(db, TYPES)

    assert index.catch_up(100)
    assert ([1, 4], [2], 4) == (found(db, "first"), found(db, "second"), index.reached)


def test_catching_up_goes_on_where_it_was(db: apsw.Connection) -> None:
    """In steps as small as is wanted; what is reached is kept."""
    add(db, *"abcde")
    steps = [TextIndex(db, TYPES).catch_up(2) for _ in range(3)]

    assert [False, False, True] == steps
    assert 5 == TextIndex(db, TYPES).reached
    assert TextIndex(db, TYPES).catch_up(2)


def test_what_lags_behind_comes_with_what_is_added(db: apsw.Connection) -> None:
    """Single writes are indexed later; a batch that follows them leaves no gap."""
    add(db, "one", "two", "three")
    index = TextIndex(db, TYPES)
    index.add([Put(3, 1, "note", {"title": "three"}, {})], since=2, head=3)

    assert ([1], [2], [3], 3) == (found(db, "one"), found(db, "two"), found(db, "three"), index.reached)


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.sampled_from(["fog", "Fog bank", "mist", ""])), max_size=12), st.integers(1, 5))
def test_step_by_step_is_as_from_scratch(titles: list[str | None], step: int) -> None:
    """However it came about, the index is what a rebuild makes of the facts. INV-01."""
    db = apsw.Connection("")
    db.execute(TABLES)
    index = TextIndex(db, TYPES)
    for start in range(0, len(titles), step):
        add(db, *titles[start : start + step])
        while not index.catch_up(2):
            pass
    grown = content(db)
    index.rebuild()

    assert grown == content(db)


def test_what_was_removed_is_in_no_byte_of_the_file(db: apsw.Connection, tmp_path: Path) -> None:
    """After the index was written anew, even where nothing else is left in it."""
    add(db, "kept words", "secretword and others", "other kept")
    index = TextIndex(db, TYPES)
    index.catch_up(100)
    index.remove([2])
    db.execute("DELETE FROM fact WHERE seq = 2")

    assert ([], [1, 3]) == (found(db, "secretword"), found(db, "kept"))
    index.purge([2])
    assert b"secretword" not in (tmp_path / "store.db").read_bytes()
    assert ([1, 3], 3) == (found(db, "kept"), index.reached)
    index.remove([1, 3])
    index.purge([1, 3])
    assert [] == content(db)


@pytest.mark.parametrize("seed", (0, 25, 43))
def test_no_word_stays_however_the_index_grew(db: apsw.Connection, tmp_path: Path, seed: int) -> None:
    """In parts of any size, merged at any time, emptied and filled again; what is left is found as before. INV-15."""
    dice = random.Random(seed)
    db.execute(
        "INSERT INTO text (text, rank) VALUES ('automerge', 2); INSERT INTO text (text, rank) VALUES ('crisismerge', 4)"
    )
    db.pragma("synchronous", "off")
    index = TextIndex(db, TYPES)
    said: dict[int, str] = {}
    for _ in range(60):
        if said and dice.random() < 0.4:
            gone = sorted(dice.sample(sorted(said), dice.choice([1, dice.randint(1, len(said)), len(said)])))
            words = [said.pop(seq)[4:].encode() for seq in gone]
            with db:
                index.remove(gone)
                db.executemany("DELETE FROM fact WHERE seq = ?", [(seq,) for seq in gone])
                if dice.random() < 0.5:
                    index.purge(gone)
                    purged = True
                else:
                    purged = False
            assert not purged or not any(word in (tmp_path / "store.db").read_bytes() for word in words)
        else:
            titles = [dice.randbytes(10).hex() for _ in range(dice.choice([1, 2, 5, 40]))]
            with db:
                add(db, *titles)
                last = db.last_insert_rowid()
                said |= zip(range(last - len(titles) + 1, last + 1), titles, strict=True)
                while not index.catch_up(100):
                    pass
    while not index.catch_up(100):
        pass

    assert {seq: [seq] for seq in said} == {seq: found(db, title) for seq, title in said.items()}


@pytest.mark.parametrize("value", ['{"title": "another"}', f'{{"title": "{"a " * 99}"}}', "no document"])
def test_a_damaged_version_leaves_no_word_behind(db: apsw.Connection, tmp_path: Path, value: str) -> None:
    """What it said cannot be said again: everything is forgotten, and found again out of the facts."""
    add(db, "kept words", "secretword and others")
    index = TextIndex(db, TYPES)
    index.catch_up(100)
    db.execute("UPDATE fact SET value = ? WHERE seq = 2", (value,))
    index.remove([2])
    db.execute("DELETE FROM fact WHERE seq = 2")
    index.purge([2])

    assert b"secretword" not in (tmp_path / "store.db").read_bytes()
    assert not index.catch_up(1)
    assert index.catch_up(100)
    assert [1] == found(db, "kept")


def test_a_version_without_words_is_taken_out_of_nothing(db: apsw.Connection) -> None:
    """Nor is one that is not indexed yet: the index would count less than it holds."""
    add(db, "", "first")
    index = TextIndex(db, TYPES)
    index.catch_up(100)
    add(db, "later")
    before = content(db)
    index.remove([1, 3, 9])

    assert before == content(db)
    index.catch_up(100)
    assert [3] == found(db, "later")


def test_words_of_another_form_are_made_anew(db: apsw.Connection) -> None:
    """Another version of Python knows other letters; those of today's form stay as they are."""
    add(db, "first")
    index = TextIndex(db, TYPES)
    index.keep_up()
    index.catch_up(100)
    index.keep_up()

    assert ([1], 1) == (found(db, "first"), index.reached)
    db.execute("UPDATE meta SET value = '1, Unicode 1.0' WHERE name = 'words'")
    TextIndex(db, TYPES).keep_up()
    assert ([], 0) == (content(db), TextIndex(db, TYPES).reached)
    assert TextIndex(db, TYPES).catch_up(100)
    assert [FORM] == [value for (value,) in db.execute("SELECT value FROM meta WHERE name = 'words'")]


def test_a_change_of_what_words_are_is_a_new_form() -> None:
    """What stands in an index is taken out by saying it again: another number, where this text becomes others."""
    value = {
        "title": "<b>Ärger</b> &amp; Straße naïve ﬁn Ｗide Ёлка ø",
        "body": [
            "東京タワー 한국어 ภาษาไทย हिन्दी",
            "a < b <script>x</script><p>c</p><!-- d --> List<String>",
            4.5,
            {"x": ["y" * 9]},
        ],
        "more": {"text": "deep " * 60_000},
        "by": {"name": "Ann"},
    }
    said = f"{fold(READING.title(value, {'title': 'T'}))}\n{fold(READING.body(value, {'people': ['Bo']}))}"

    assert ("1", "ec6221d2b1ed35bf") == (FORM.partition(",")[0], hashlib.sha256(said.encode()).hexdigest()[:16])


def test_much_that_lags_behind_does_not_hold_up_what_is_added(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the index is made anew: what is added waits for its turn too."""
    monkeypatch.setattr(text, "_CATCH_UP_FACTS", 3)
    add(db, *"abcdef")
    index = TextIndex(db, TYPES)
    index.add([Put(6, 1, "note", {"title": "f"}, {})], since=5, head=6)

    assert ([], 0) == (content(db), index.reached)
    index.catch_up(2)
    index.add([Put(6, 1, "note", {"title": "f"}, {})], since=5, head=6)
    assert ([1], [6], 6) == (found(db, "a"), found(db, "f"), index.reached)


def test_the_words_of_a_store_are_those_of_its_facts(store: Store) -> None:
    """On the real tables: a rebuild finds what was committed."""
    store.commit([Change(type="note", key="a", value={"title": "Lighthouse", "by": {"name": "Ärzte"}})])
    with apsw.Connection(str(store.path)) as db:
        TextIndex(db, {"note": TypeSpec(name="note", title="title", common={"author": "by.name"})}).rebuild()

        assert ([1], [1]) == (found(db, "lighthouse"), found(db, "arzte"))
        assert [1] == found(db, type_mark(1))


def test_a_store_cuts_words_where_we_do(store: Store) -> None:
    """Its tokenizer knows nothing of Unicode that could be out of date: a vowel sign or an emoji cuts no other way."""
    store.commit([Change(type="note", key="a", value={"title": "हिन्दी is😀here"})])
    with apsw.Connection(str(store.path)) as db:
        TextIndex(db, {"note": TypeSpec(name="note", title="title")}).rebuild()

        assert ([1], [1], [1]) == (found(db, "हिन्दी"), found(db, "😀"), found(db, "here"))
        assert [] == found(db, "ह")


def test_an_ascii_record_is_read_in_no_time() -> None:
    """The index costs SQLite's time, not ours: a few microseconds a record."""
    record = {"title": "The lighthouse keepers kept time", "body": "Some words of a plain text. " * 6}
    began = time.perf_counter()
    for _ in range(10_000):
        READING.title(record, {})
        READING.body(record, {})

    assert time.perf_counter() - began < 0.5

"""The text index: every retained version of a record by the words that a person would look for.

One row of the table `text` is one fact, by its `seq`; versions without words have none. It is a fold of the facts: what
a record's words are follows from its value, its type's declaration and the form of words (`FORM`) alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apsw
import msgspec

from core.model.fact import JsonObject
from core.model.manifest import TypeSpec
from core.store.log.facts import object_of
from core.store.paths import value_at
from core.store.words.letters import fold
from core.store.words.markup import plain_text

RECORD_LETTERS_MAX = 256 * 1024
DEPTH_MAX = 8
_CATCH_UP_FACTS = 2000
# How the words are made of a text. The number goes up with every change of that; letters are as Python knows them.
FORM = f"1, Unicode {unicodedata.unidata_version}"
# In the title of every row, so that a search for some types need not look at the others. No text brings such a word:
# signs of private use are no letters.
TYPE_MARK = "\ue000"

_SHARED_BODY = ("text", "summary", "author", "people", "place")

_INSERT = "INSERT INTO text (rowid, title, body) VALUES (?, ?, ?)"
_REMOVE = "INSERT INTO text (text, rowid, title, body) VALUES ('delete', ?, ?, ?)"
_REMOVE_ALL = "INSERT INTO text (text) VALUES ('delete-all')"
_OPTIMIZE = "INSERT INTO text (text) VALUES ('optimize')"
# The documents as bytes: those of a damaged fact need not be text.
PUTS = """
    SELECT f.seq, f.type, t.name, cast(f.value AS BLOB), cast(f.common AS BLOB)
    FROM fact f CROSS JOIN type t ON t.id = f.type
    WHERE f.seq > ? AND f.seq <= ? AND f.deleted = 0 ORDER BY f.seq LIMIT ?
"""
_INDEXED = """
    SELECT f.seq, f.type, t.name, cast(f.value AS BLOB), cast(f.common AS BLOB)
    FROM text_docsize d CROSS JOIN fact f ON f.seq = d.id CROSS JOIN type t ON t.id = f.type WHERE d.id = ?
"""
_ANY = "SELECT 1 FROM text_docsize LIMIT 1"
WORDS = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.words USING fts5vocab (main, text, instance)"
_ANY_OF = "SELECT 1 FROM temp.words WHERE doc IN (SELECT value FROM json_each(?)) LIMIT 1"
# The index's own list of its parts, level by level: of each level two counts, then its parts.
_PARTS = "SELECT block FROM text_data WHERE id = 10"
_NO_PARTS = b"\0\0"
_FORM = "SELECT value FROM meta WHERE name = 'words'"
_NOTE_FORM = """
    INSERT INTO meta (name, value) VALUES ('words', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_REACHED = "SELECT value FROM meta WHERE name = 'indexed_seq'"
_REACH = """
    INSERT INTO meta (name, value) VALUES ('indexed_seq', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_HEAD = "SELECT seq FROM sqlite_sequence WHERE name = 'fact'"
_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)


class Put(msgspec.Struct, frozen=True, gc=False):
    """A version to be indexed: where it stands, its type by number and name, and what it says."""

    seq: int
    type: int
    type_name: str
    value: JsonObject
    common: JsonObject


class TextIndex:
    """The table `text` of one writable connection, and how far it reaches; owned by the writer's thread.

    Everything happens within the caller's transaction. After a failed one it is of no more use.
    """

    def __init__(self, db: apsw.Connection, types: Mapping[str, TypeSpec]) -> None:
        self._db = db
        self._readings = {name: Reading(spec) for name, spec in types.items()}
        self.reached: int = db.execute(_REACHED).get or 0

    def add(self, puts: Sequence[Put], *, since: int, head: int) -> None:
        """Index what was just added after the position `since` up to `head`; what lags behind it comes with it.

        Where too much lags behind for one transaction, nothing is indexed: it waits for `catch_up`.
        """
        if since - self.reached > _CATCH_UP_FACTS:
            return
        if self.reached < since:
            self._catch_up(_CATCH_UP_FACTS + 1, until=since)
        self._index(puts)
        self._reach(head)

    def catch_up(self, limit: int) -> bool:
        """Index at most `limit` versions of what lags behind; whether nothing does any more."""
        head = self._db.execute(_HEAD).get or 0
        return self.reached >= head or self._catch_up(limit, until=head)

    def keep_up(self) -> None:
        """Forget everything where the words were made in another form than today's; `catch_up` makes them again."""
        if self._db.execute(_FORM).get != FORM:
            self.clear()

    def remove(self, seqs: Iterable[int]) -> None:
        """Take out these versions, whose facts still say what they said; their words leave the file by `purge`.

        Where a fact is damaged so that nobody knows its words, everything is forgotten; `catch_up` makes it again.
        """
        try:
            for seq in seqs:
                indexed: list[Any] = self._db.execute(_INDEXED, (seq,)).fetchall()
                self._db.executemany(_REMOVE, self._rows(map(_put, indexed)))
        except (apsw.CorruptError, *_UNREADABLE):
            self.clear()

    def purge(self, seqs: Sequence[int]) -> None:
        """Write the index anew without these versions, which were taken out: nothing of them stays in any byte.

        Where that cannot be told, everything is forgotten; `catch_up` makes it again.
        """
        if self._db.execute(_ANY).get is None:
            self._db.execute(_REMOVE_ALL)
            return
        self._db.execute(_OPTIMIZE)
        if self._may_keep(seqs):
            self.clear()

    def clear(self) -> None:
        """Forget everything; `catch_up` makes it again."""
        self._db.execute(_REMOVE_ALL)
        self._db.execute(_NOTE_FORM, (FORM,))
        self._reach(0)

    def rebuild(self) -> None:
        """Fold every fact again."""
        self.clear()
        while not self.catch_up(_CATCH_UP_FACTS):
            pass

    def _catch_up(self, limit: int, *, until: int) -> bool:
        rows: list[tuple[Any, ...]] = self._db.execute(PUTS, (self.reached, until, limit)).fetchall()
        self._index(puts_of(rows))
        is_done = len(rows) < limit
        self._reach(until if is_done else rows[-1][0])
        return is_done

    def _index(self, puts: Iterable[Put]) -> None:
        self._db.executemany(_INSERT, self._rows(puts))

    def _rows(self, puts: Iterable[Put]) -> Iterator[tuple[int, str, str]]:
        for put in puts:
            reading = self._readings.get(put.type_name, _UNDECLARED)
            title, body = reading.title(put.value, put.common), reading.body(put.value, put.common)
            if title or body:
                yield put.seq, f"{fold(title)} {type_mark(put.type)}", fold(body)

    def _may_keep(self, seqs: Sequence[int]) -> bool:
        """Whether the index, just written anew, may hold a word of these versions.

        Those of a fact that was damaged are not what was said when it was taken out. And where the last level has no
        part, what was written was not taken for all there is: it still says of each word taken out that it is gone.
        """
        if bytes(self._db.execute(_PARTS).get).endswith(_NO_PARTS):
            return True
        self._db.execute(WORDS)
        return self._db.execute(_ANY_OF, (msgspec.json.encode(seqs).decode(),)).get is not None

    def _reach(self, seq: int) -> None:
        self._db.execute(_REACH, (seq,))
        self.reached = seq


class Reading:
    """How records of a type are read: its declared paths, and the shared fields that code computed.

    Lists are joined, HTML is read as a person sees it, and 256 Ki letters of each are looked at. A type that declares
    nothing has the words of its computed fields.
    """

    def __init__(self, spec: TypeSpec) -> None:
        self._title = _Places((spec.title, spec.common.get("title")), ("title",))
        self._body = _Places((*spec.text, *map(spec.common.get, _SHARED_BODY)), _SHARED_BODY)

    def title(self, value: JsonObject, common: JsonObject) -> str:
        """The record's title as a person reads it."""
        return self._title.text(value, common)

    def body(self, value: JsonObject, common: JsonObject, *, letters_max: int = RECORD_LETTERS_MAX) -> str:
        """Everything else that it says, or its beginning."""
        return self._body.text(value, common, letters_max)


class _Places:
    """Where some of a record's texts stand."""

    def __init__(self, paths: Iterable[str | None], fields: Sequence[str]) -> None:
        declared = list(dict.fromkeys(path for path in paths if path is not None))
        self._names = [path for path in declared if "." not in path]
        self._paths = [path for path in declared if "." in path]
        self._fields = fields
        self._only = self._names[0] if len(declared) == len(self._names) == 1 else None

    def text(self, value: JsonObject, common: JsonObject, letters_max: int = RECORD_LETTERS_MAX) -> str:
        if self._only is not None and not common and isinstance(found := value.get(self._only), str):
            return plain_text(found[:letters_max])
        found = [value[name] for name in self._names if name in value]
        if self._paths:
            found += [value_at(value, path) for path in self._paths]
        if common:
            found += [common[field] for field in self._fields if field in common]
        if not found:
            return ""
        if len(found) == 1 and isinstance(found[0], str):
            return plain_text(found[0][:letters_max])
        if len(found) == 2 and isinstance(found[0], str) and isinstance(found[1], str) and found[0] != found[1]:
            both = f"{found[0]}\n{found[1]}"
            if len(both) <= letters_max and "<" not in both:
                return plain_text(both)
        return _joined(found, letters_max)


_UNDECLARED = Reading(TypeSpec(name=""))


def puts_of(rows: Iterable[tuple[Any, ...]]) -> Iterator[Put]:
    """The versions in rows of `PUTS`. One that cannot be read has no words: it is damaged, and others tell of that."""
    for row in rows:
        try:
            put = _put(row)
        except _UNREADABLE:
            continue
        yield put


def _put(row: tuple[Any, ...]) -> Put:
    seq, number, type_name, value, common = row
    return Put(seq, number, type_name, object_of(value), object_of(common))


def type_mark(number: int) -> str:
    """The word that stands for a type in the index."""
    return f"{TYPE_MARK}{number}"


def _joined(found: Iterable[Any], letters_max: int) -> str:
    """The texts in these values, each once."""
    texts: dict[str, None] = {}
    for value in found:
        _gather(value, texts, 0)
    left = letters_max
    kept: list[str] = []
    for text in texts:
        if left <= 0:
            break
        kept.append(plain_text(text[:left]))
        left -= len(text)
    return "\n".join(kept)


def _gather(found: Any, texts: dict[str, None], depth: int) -> None:
    if isinstance(found, str):
        texts[found] = None
    elif isinstance(found, (list, dict)) and depth < DEPTH_MAX:
        for item in found.values() if isinstance(found, dict) else found:
            _gather(item, texts, depth + 1)
    elif isinstance(found, (int, float)) and not isinstance(found, bool):
        texts[str(found)] = None

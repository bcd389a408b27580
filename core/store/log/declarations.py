"""What the folds of a store were made by: the types as the manifest declares them, their indexes, and the views."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping

import apsw
import msgspec

from core.model.manifest import TypeSpec, is_indexable
from core.store.paths import json_path

log = logging.getLogger(__name__)

_FOLDED_BY = "SELECT value FROM meta WHERE name = 'declarations'"
_FOLD_BY = """
    INSERT INTO meta (name, value) VALUES ('declarations', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_NEW_TYPE = "INSERT INTO type (name) VALUES (?) ON CONFLICT (name) DO NOTHING"
_NUMBERS = "SELECT name, id FROM type"
_INDEXES = "SELECT type, path, name FROM field_index"
_NEW_INDEX = "INSERT INTO field_index (type, path, name) VALUES (?, ?, ?)"
_NO_INDEX = "DELETE FROM field_index WHERE type = ? AND path = ?"
_VIEWS = "SELECT name FROM sqlite_schema WHERE type = 'view'"
_NAMES = "SELECT lower(name) FROM sqlite_schema"

_FACTS_VIEW = """
    CREATE VIEW facts AS SELECT f.seq, t.name AS type, f.key, iif(f.deleted, 'delete', 'put') AS action,
        datetime(f.recorded_at, 'unixepoch') AS recorded_at, datetime(f.valid_time, 'unixepoch') AS valid_time,
        f.value, f.common, p.document AS producer
    FROM fact f JOIN type t ON t.id = f.type LEFT JOIN producer p ON p.id = f.producer
"""


def field_expression(path: str) -> str:
    """What the index of a declared path is over, letter by letter: a query must say the same to use it.

    A damaged value that is no JSON any more has nothing there; its fact stays, and hinders no other.
    """
    return f"iif(json_valid(value), json_extract(value, {text_literal(json_path(path))}), NULL)"


def text_literal(text: str) -> str:
    """`text` as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    """`name` as SQL writes the name of a table or column."""
    return '"' + name.replace('"', '""') + '"'


def index_name(number: int, path: str) -> str:
    """The name of that index, another one for each way of making it."""
    return f"field_{number}_{hashlib.sha256(_indexed(path).encode()).hexdigest()[:12]}"


class Declarations:
    """Today's declarations beside those that the store's folds were made by."""

    def __init__(self, db: apsw.Connection, types: Mapping[str, TypeSpec]) -> None:
        self._db = db
        self._types = types
        self._digest = hashlib.sha256(msgspec.json.encode(sorted(types.items()))).digest()

    @property
    def are_folded(self) -> bool:
        """Whether the folds are made by them."""
        return bool(self._db.execute(_FOLDED_BY).get == self._digest)

    def settle(self) -> None:
        """Make the indexes and views that they ask for, drop the others, and note that all is made by them."""
        self._db.executemany(_NEW_TYPE, [(name,) for name in self._types])
        numbers = dict(self._db.execute(_NUMBERS))
        self.settle_indexes()
        self._settle_views(numbers)
        self._db.execute(_FOLD_BY, (self._digest,))

    def settle_indexes(self) -> None:
        """Make the indexes that they ask for, as this version makes them, and drop the others."""
        numbers = dict(self._db.execute(_NUMBERS))
        wanted = {
            (numbers[name], path): index_name(numbers[name], path)
            for name, spec in self._types.items()
            for path in spec.index
            if is_indexable(path)
        }
        there = {(number, path): name for number, path, name in self._db.execute(_INDEXES)}
        for (number, path), name in there.items():
            if wanted.get((number, path)) != name:
                self._db.execute(f"DROP INDEX IF EXISTS {quoted_name(str(name))}")
                self._db.execute(_NO_INDEX, (number, path))
        for (number, path), name in sorted(wanted.items()):
            if there.get((number, path)) != name:
                self._db.execute(f'CREATE INDEX "{name}" ON fact {_indexed(path)} WHERE type = {number}')
                self._db.execute(_NEW_INDEX, (number, path, name))

    def _settle_views(self, numbers: Mapping[str, int]) -> None:
        """For people with ordinary tools. No statement of ours reads them: one that cannot be made is left out."""
        for (name,) in self._db.execute(_VIEWS).fetchall():
            self._db.execute(f"DROP VIEW {quoted_name(str(name))}")
        self._db.execute(_FACTS_VIEW)
        taken = {str(name) for (name,) in self._db.execute(_NAMES)}
        for type_name, spec in self._types.items():
            view = f"current_{type_name}"
            if view.lower() in taken:  # As `current_newest`, an index, or a type that differs in case alone.
                log.info("view left out, its name is taken name=%s", view)
                continue
            taken.add(view.lower())
            try:
                self._db.execute(_current_view(view, numbers[type_name], spec))
            except apsw.SQLError as err:
                log.warning("view left out name=%s error=%s", view, type(err).__name__)


def _indexed(path: str) -> str:
    """What a declared path's index is over: facts of one value stand there by their keys."""
    return f"({field_expression(path)}, key)"


def _current_view(view: str, number: int, spec: TypeSpec) -> str:
    """The records of one type, a column for each path that is declared."""
    paths = {**({"title": spec.title} if spec.title else {}), **spec.common, **{path: path for path in spec.index}}
    columns = {"key", "at", "value"}
    said = ["c.key", "datetime(c.at, 'unixepoch') AS at"]
    for column, path in paths.items():
        if column.lower() not in columns:
            columns.add(column.lower())
            said.append(f"json_extract(f.value, {text_literal(json_path(path))}) AS {quoted_name(column)}")
    return (
        f"CREATE VIEW {quoted_name(view)} AS SELECT {', '.join(said)}, f.value FROM current c "
        f"JOIN fact f ON f.seq = c.seq WHERE c.type = {number} AND c.deleted = 0"
    )

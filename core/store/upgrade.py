"""Steps between versions of store.db that need more than SQL."""

from __future__ import annotations

from collections.abc import Callable

import apsw

from core.store.log.digest import digest_of
from core.store.log.facts import FIRST_ORIGIN

_NUMBER_TYPES = "INSERT INTO type (name) SELECT DISTINCT type FROM fact ORDER BY 1"
_SLIM = """
    f.value, f.common, f.value_hash, f.causation, nullif(f.transaction_time, f.recorded_at), f.valid_time,
    f.schema_version
"""
_PLACED = f"""
    iif(f.origin = {FIRST_ORIGIN}, nullif(f.origin_seq, f.seq), f.origin_seq), nullif(f.known_at, f.recorded_at),
    f.rev_generation, nullif(f.rev_order, cast(f.known_at * 1000 AS INTEGER)), f.recorded_at
"""
_FACTS = f"""
    SELECT f.seq, f.id, f.type, f.key, f.action = 'delete', {_SLIM}, p.document, f.derivation, o.log, o.epoch, {_PLACED}
    FROM fact f JOIN origin o ON o.id = f.origin LEFT JOIN producer p ON p.id = f.producer
"""
_COPY = f"""
    INSERT INTO numbered (seq, id, type, key, deleted, value, common, value_hash, causation, transaction_time,
        valid_time, schema_version, producer, derivation, origin, origin_seq, known_at, rev_generation, rev_order,
        recorded_at, row_digest)
    SELECT f.seq, f.id, t.id, f.key, f.action = 'delete', {_SLIM}, f.producer, f.derivation, f.origin, {_PLACED}, ?
    FROM fact f JOIN type t ON t.name = f.type WHERE f.seq = ?
"""
_DROP = "DROP TABLE fact; DROP TABLE current; DROP TABLE tally"


def number_the_types(tables: str, folds: str) -> Callable[[apsw.Connection], None]:
    """The step from version 1: facts name their type by a number and carry a digest of their row.

    The folds are left empty: the writer that opens the store next makes them, before it answers.
    """

    def step(db: apsw.Connection) -> None:
        db.execute(tables)
        db.execute(_NUMBER_TYPES)
        for row in db.execute(_FACTS):
            db.execute(_COPY, (digest_of(row), row[0]))
        db.execute(_DROP)
        db.execute(folds)

    return step

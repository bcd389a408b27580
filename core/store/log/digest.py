"""The integrity check of one row: what `row_digest` in the table of facts holds, whoever writes or verifies it."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

ROW_DIGEST_BYTES = 8

_pack = msgspec.msgpack.Encoder().encode
_sha256 = hashlib.sha256


def row_digest(
    seq: int,
    id: bytes | str,
    type_name: str,
    key: str,
    deleted: int,
    value: str | None,
    common: str | None,
    value_hash: bytes | None,
    causation: bytes | str | None,
    transaction_time: float | None,
    valid_time: float | None,
    schema_version: int,
    producer: str | None,
    derivation: str | None,
    origin_log: str,
    origin_epoch: int,
    origin_seq: int | None,
    known_at: float | None,
    rev_generation: int,
    rev_order: int | None,
    recorded_at: float,
) -> bytes:
    """The first 8 bytes of SHA-256 over the fact as it is stored, in this order, packed so that no two rows look alike.

    As stored: `value` is the stored text, whose order of names its hash does not cover; a column that is NULL is
    None; `deleted` is 0 or 1. Only what a row names by number (type, producer, origin) stands here as what the number
    means, so that a change in those small tables is noticed too.
    """
    row = (
        seq, id, type_name, key, deleted, value, common, value_hash, causation, as_kept(transaction_time),
        as_kept(valid_time), schema_version, producer, derivation, origin_log, origin_epoch, origin_seq,
        as_kept(known_at), rev_generation, rev_order, recorded_at,
    )  # fmt: skip
    return digest_of(row)


def digest_of(row: tuple[Any, ...]) -> bytes:
    """`row_digest` of a row that holds the same columns in the same order, its times as SQLite gives them back."""
    return _sha256(_pack(row)).digest()[:ROW_DIGEST_BYTES]


def as_kept(time: float | None) -> float | None:
    """A time as SQLite gives it back: a float, and zero without a sign."""
    return None if time is None else float(time) + 0.0

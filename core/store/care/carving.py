"""Facts read out of the pages of a database one by one, where no tree leads to them any more.

A fact's row stands whole in a leaf of its table, or begins there; its digest says whether it is what was written. What
it names by number is looked up in the leaves of the small tables and of their indexes; the digest covers that too.

    leaf     8 bytes: kind, free block, cells, begin of the cells, fragments; then the places of the cells
    cell     payload's length and, in a table, the row's number, as varints; the payload, or its beginning and the page
             that it goes on in, each of which begins with the number of the next
    payload  header's length and each column's kind, as varints; then the columns
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import product
from typing import Any

from core.store.care.verify import is_good
from core.store.connection import CELL_BYTES_MAX
from core.store.rows import Row

PageAt = Callable[[int], bytes]
Leaf = tuple[int, bytes]
Leaves = Callable[[], Iterable[Leaf]]

_INDEX_LEAF, _TABLE_LEAF = 0x0A, 0x0D
_FILE_HEADER_BYTES = 100
_PAGE_HEADER_BYTES = 8
_FACT_COLUMNS = 21
_TIMES = frozenset((9, 10, 16, 19))  # Where SQLite keeps a float without a fraction as an integer.
_SMALL_HEADER_BYTES_MAX = 8  # The header of a row of three columns; a fact's is longer.
_INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8)
_ALTERNATIVES_MAX = 64


def carved(leaves: Leaves, lookups: Sequence[PageAt], there: Container[int]) -> Iterator[Row]:
    """The good facts in `leaves` that are not `there`, as rows of `verify.COLUMNS`, each once.

    `leaves()` gives pages with their numbers, the most trusted first, as often as it is called; `lookups` say what
    stands in the pages that a row goes on in, and are tried in turn.
    """
    texts: dict[Any, set[Any]] = defaultdict(set)
    logs: dict[Any, set[Any]] = defaultdict(set)
    for number, page in leaves():
        for row_id, columns in _small_rows(number, page):
            _note(texts if len(columns) == 2 else logs, row_id, columns)
    done: set[int] = set()
    for number, page in leaves():
        if _kind(number, page) != _TABLE_LEAF:
            continue
        for cell in _cells(number, page):
            seq, payloads = _whole(page, cell, lookups, skip=lambda seq: seq in done or seq in there)
            for payload in payloads:
                row = _good(seq, payload, texts, logs)
                if row is not None:
                    done.add(seq)
                    yield row
                    break


def _good(seq: int, payload: bytes, texts: dict[Any, set[Any]], logs: dict[Any, set[Any]]) -> Row | None:
    """The fact in a payload, with whatever its numbers mean that its digest agrees with."""
    try:
        columns = _columns(payload)
    except (IndexError, ValueError, struct.error):
        return None
    if len(columns) != _FACT_COLUMNS:
        return None
    said = [float(one) if place in _TIMES and type(one) is int else one for place, one in enumerate(columns)]
    producers = {None} if said[12] is None else texts.get(said[12], set())
    for type_name, producer, (log, epoch) in product(texts.get(said[2], ()), producers, logs.get(said[14], ())):
        row = (seq, said[1], type_name, *said[3:12], producer, said[13], log, epoch, *said[15:])
        if is_good(row):
            return row
    return None


def _small_rows(number: int, page: bytes) -> Iterator[tuple[Any, list[Any]]]:
    """Rows of two or three columns, by their number: of a table, or of an index over one, where it comes last."""
    kind = _kind(number, page)
    if kind not in (_TABLE_LEAF, _INDEX_LEAF):
        return
    for cell in _cells(number, page):
        try:
            size, at = _varint(page, cell)
            row_id, at = _varint(page, at) if kind == _TABLE_LEAF else (None, at)
            if not 2 < page[at] <= _SMALL_HEADER_BYTES_MAX or size > len(page) - at:
                continue
            columns = _columns(page[at : at + size])
        except (IndexError, ValueError, struct.error):
            continue
        if kind == _TABLE_LEAF and columns[0] is None and len(columns) in (2, 3):
            yield row_id, columns
        elif kind == _INDEX_LEAF and len(columns) in (2, 3):
            yield columns[-1], [None, *columns[:-1]]


def _note(known: dict[Any, set[Any]], row_id: Any, columns: list[Any]) -> None:
    what = columns[1] if len(columns) == 2 else (columns[1], columns[2])
    is_one = isinstance(columns[1], str) and (len(columns) == 2 or isinstance(columns[2], int))
    if is_one and isinstance(row_id, int) and len(known[row_id]) < _ALTERNATIVES_MAX:
        known[row_id].add(what)


def _kind(number: int, page: bytes) -> int:
    begin = _FILE_HEADER_BYTES if number == 1 else 0
    return page[begin] if len(page) > begin + _PAGE_HEADER_BYTES else 0


def _cells(number: int, page: bytes) -> Iterator[int]:
    """Where the cells begin."""
    begin = _FILE_HEADER_BYTES if number == 1 else 0
    (count,) = struct.unpack_from(">H", page, begin + 3)
    count = min(count, (len(page) - begin - _PAGE_HEADER_BYTES) // 2)
    yield from struct.unpack_from(f">{count}H", page, begin + _PAGE_HEADER_BYTES)


def _whole(
    page: bytes, cell: int, lookups: Sequence[PageAt], *, skip: Callable[[int], bool]
) -> tuple[int, Iterator[bytes]]:
    """A row's number, and what its payload may be; nothing of one that cannot be a fact or is to be skipped."""
    try:
        size, at = _varint(page, cell)
        seq, at = _varint(page, at)
        is_fact = page[at] > _SMALL_HEADER_BYTES_MAX and 0 < size <= CELL_BYTES_MAX and seq > 0
    except IndexError:
        return 0, iter(())
    if not is_fact or skip(seq):
        return seq, iter(())
    return seq, _payloads(page, at, size, lookups)


def _payloads(page: bytes, at: int, size: int, lookups: Sequence[PageAt]) -> Iterator[bytes]:
    usable = len(page)
    if size <= usable - 35:
        yield page[at : at + size]
        return
    least = (usable - 12) * 32 // 255 - 23
    local = least + (size - least) % (usable - 4)
    local = local if local <= usable - 35 else least
    next_page = int.from_bytes(page[at + local : at + local + 4], "big")
    for page_at in lookups:
        parts = [page[at : at + local]]
        missing, number = size - local, next_page
        while missing > 0 and number > 0 and len(more := page_at(number)) == usable:
            parts.append(more[4 : 4 + missing])
            missing -= len(parts[-1])
            number = int.from_bytes(more[:4], "big")
        if missing <= 0:
            yield b"".join(parts)


def _columns(payload: bytes) -> list[Any]:
    """The columns of a payload; raises ValueError, IndexError or struct.error for what is none."""
    header_bytes, at = _varint(payload, 0)
    place = header_bytes
    columns: list[Any] = []
    while at < header_bytes:
        kind, at = _varint(payload, at)
        column, place = _column(payload, kind, place)
        columns.append(column)
    if place != len(payload):
        raise ValueError("a payload is not as long as its columns")
    return columns


def _column(payload: bytes, kind: int, place: int) -> tuple[Any, int]:
    if kind >= 12:
        end = place + (kind - 12) // 2
        raw = payload[place:end]
        return (raw.decode() if kind % 2 else raw), end
    if kind == 7:
        return struct.unpack_from(">d", payload, place)[0], place + 8
    if kind in (8, 9):
        return kind - 8, place
    if kind > 9:
        raise ValueError("a column has a kind that there is not")
    if kind == 0:
        return None, place
    end = place + _INTEGER_BYTES[kind]
    return int.from_bytes(payload[place:end], "big", signed=True), end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """SQLite's number of one to nine bytes, and where it ends."""
    value = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    value = value << 8 | data[at]
    return value - (1 << 64) if value >> 63 else value, at + 1

"""Whether every fact is what was written: each row against its digest, the log against its chain."""

from __future__ import annotations

import time
from collections.abc import Iterator

import apsw
import msgspec

from core.model.errors import FileDamaged
from core.store.care import checkpoint
from core.store.care.checkpoint import ORIGIN, Mark, mark_of, segment_of
from core.store.log import facts
from core.store.log.digest import digest_of
from core.store.pace import Wait, rest
from core.store.rows import Row, Rows

PAGE_ROWS = 1000
BAD_LISTED_MAX = 10_000
TRIES = 3

COLUMNS = """
    f.seq, f.id, t.name, f.key, f.deleted, f.value, f.common, f.value_hash, f.causation, f.transaction_time,
    f.valid_time, f.schema_version, p.document, f.derivation, o.log, o.epoch, f.origin_seq, f.known_at,
    f.rev_generation, f.rev_order, f.recorded_at, f.row_digest
"""
# What a row names by number is joined loosely: a number that leads nowhere must not hide the row.
FROM = """
    FROM fact f LEFT JOIN type t ON t.id = f.type LEFT JOIN origin o ON o.id = f.origin
    LEFT JOIN producer p ON p.id = f.producer
"""
_PAGE = f"SELECT {COLUMNS} {FROM} WHERE f.seq > ? AND f.seq <= ? ORDER BY f.seq LIMIT {PAGE_ROWS}"
# Where a salvaged store's last facts are lost, its log ends with the last position that was ever given.
LAST_SEQ = """
    SELECT max(coalesce((SELECT max(seq) FROM fact), 0),
        coalesce((SELECT value FROM meta WHERE name = 'lost_until'), 0))
"""

# Not among them: what passes by itself, as a busy database or a full disk.
_UNREADABLE = (
    apsw.CorruptError, apsw.NotADBError, apsw.FormatError, apsw.MismatchError, apsw.TooBigError, apsw.NoMemError,
    FileDamaged, ValueError,
)  # fmt: skip


class Span(msgspec.Struct, frozen=True):
    """Positions from `first` to `last`, both of them in it."""

    first: int
    last: int


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found, up to `head`: how many facts are good, and which are not.

    `bad` are the positions of rows that cannot be read or are not what was written (the first 10 000 of `bad_count`);
    `broken` are stretches of the log that hold other rows than were written there.
    """

    head: int
    facts: int
    bad: tuple[int, ...] = ()
    bad_count: int = 0
    broken: tuple[Span, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether everything is what was written."""
        return not self.bad_count and not self.broken


def fetch(db: apsw.Connection) -> Rows:
    """How a statement's rows come from `db`, as verifying wants them."""
    return lambda statement, parameters: db.execute(statement, parameters).fetchall()


def is_good(row: Row) -> bool:
    """Whether a row of `COLUMNS` is what was written."""
    try:
        return bool(digest_of(row[:-1]) == row[-1])
    except (TypeError, ValueError, OverflowError):
        return False


def readable(rows: Rows, since: int, until: int) -> Iterator[Row | int]:
    """The rows of `COLUMNS` after `since` up to `until`; for one that cannot be read its position alone."""
    spans = [(since, until)]
    while spans:
        since, until = spans.pop()
        if since >= until:
            continue
        try:
            page = rows(_PAGE, (since, until))
        except _UNREADABLE:
            if until - since == 1:
                yield until
            else:
                middle = (since + until) // 2
                spans += [(middle, until), (since, middle)]
            continue
        yield from page
        if len(page) == PAGE_ROWS and page[-1][0] < until:
            spans.append((page[-1][0], until))


def verify(rows: Rows, *, wait: Wait = time.sleep) -> Verification:
    """Walk the whole log as it is now and say what is wrong with it.

    `rows` answers a statement with its rows. It rests by `wait` between short reads, being meant for a thread in the
    background, beside a writer and its readers.
    """
    head = _number(rows, facts.HEAD)
    state = _Walk(rows, wait)
    before = ORIGIN
    while (mark := _mark_after(rows, before.seq)) is not None and mark.seq <= head:
        before = state.segment(before, mark)
    state.rest(before.seq, head)
    # In this order: what is committed meanwhile is neither missing nor too much.
    last, head_now = _number(rows, LAST_SEQ), _number(rows, facts.HEAD)
    if not head <= last <= head_now or (mark is not None and mark.seq > head_now):
        state.broken.append(Span(head + 1, facts.SEQ_MAX))
    return Verification(
        head=head,
        facts=state.good,
        bad=tuple(state.bad[:BAD_LISTED_MAX]),
        bad_count=len(state.bad),
        broken=tuple(state.broken),
    )


class _Walk:
    """What a verification has found so far."""

    def __init__(self, rows: Rows, wait: Wait) -> None:
        self._rows = rows
        self._wait = wait
        self.good = 0
        self.bad: list[int] = []
        self.broken: list[Span] = []

    def segment(self, before: Mark, mark: Mark) -> Mark:
        """Look at the facts that `mark` covers; where retention changes them meanwhile, look again."""
        for _ in range(TRIES):
            digests, bad = self._digests(before.seq, mark.seq)
            holds = bad or (
                segment_of(digests) == mark.segment
                and len(digests) == mark.facts - before.facts
                and mark.holds_after(before)
            )
            now = _mark_after(self._rows, before.seq)
            if holds or now is None or now == mark:
                break
            mark = now
        self.good += len(digests)
        self.bad += bad
        if not holds:
            self.broken.append(Span(before.seq + 1, mark.seq))
        return mark

    def rest(self, since: int, until: int) -> None:
        """Look at the facts that no mark covers yet."""
        digests, bad = self._digests(since, until)
        self.good += len(digests)
        self.bad += bad

    def _digests(self, since: int, until: int) -> tuple[list[bytes], list[int]]:
        """The digests of the good rows, and the positions of the others."""
        good: list[bytes] = []
        bad: list[int] = []
        began = time.monotonic()
        for number, row in enumerate(readable(self._rows, since, until)):
            if isinstance(row, int):
                bad.append(row)
            elif is_good(row):
                good.append(row[-1])
            else:
                bad.append(row[0])
            if number % PAGE_ROWS == PAGE_ROWS - 1:
                rest(self._wait, since=began)
                began = time.monotonic()
        return good, bad


def _mark_after(rows: Rows, seq: int) -> Mark | None:
    """The next mark; one that cannot be read stands at the end of all, and covers nothing."""
    try:
        found = rows(checkpoint.AFTER, (seq,))
        return mark_of(found[0]) if found else None
    except _UNREADABLE:
        return ORIGIN._replace(seq=facts.SEQ_MAX)


def _number(rows: Rows, statement: str) -> int:
    found = rows(statement, ())
    return int(found[0][0] or 0) if found else 0

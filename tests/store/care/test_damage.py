"""Whole stretches of a store gone, in its database or its log: what proves true comes back, the rest is told of."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from core.model.clock import ManualClock
from core.model.errors import FileDamaged
from core.model.fact import Change, JsonObject
from core.store import Reader, Store
from core.store.care.checkup import check_up
from core.store.care.findings import Findings
from core.store.care.recovery import accept_salvage, is_settled, recover, repair
from core.store.care.retention import Policy
from core.store.care.salvage import examine
from core.store.care.walfile import FRAME_HEADER_BYTES, HEADER_BYTES
from tests.store.care.small import with_small_pages
from tests.store.conftest import ORIGIN, TYPES

IN_FILE, IN_LOG = 12, 12
WRITTEN = IN_FILE + IN_LOG
FILE, LOG = "store.db", "store.db-wal"
CURSOR = ("notes", {"page": 7})
ZERO = "zeroed"
NOISE = "noise"


class Harm(NamedTuple):
    """What is done to a file: a stretch of it, from and to so many parts of its size or so many bytes."""

    name: str
    how: str
    first: float
    last: float


HARMS = [
    Harm(name, how, *stretch)
    for name in (FILE, LOG)
    for how in (ZERO, NOISE)
    for stretch in ((0, 16), (0, 32), (0, 512), (0, 4096), (0.2, 0.4), (0.4, 0.6), (0.5, 1.0), (0, 0.5), (0, 1.0))
]


def _value(number: int) -> JsonObject:
    """One in three is longer than a page."""
    return {"n": number, "title": f"word{number}", "text": "x" * (9000 if number % 3 == 0 else 60)}


def _written(folder: Path, clock: ManualClock, first: int, last: int) -> Store:
    store = Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock)
    for number in range(first, last):
        store.commit([Change(type="note", key=f"k{number % 5}", value=_value(number))], cursor=CURSOR)
    return store


@pytest.fixture(params=[512, 4096])
def left(request: pytest.FixtureRequest, folder: Path, tmp_path: Path, clock: ManualClock) -> Path:
    """A folder as a kill leaves it: half of its facts in the file, and all since in the log."""
    if request.param == 512:
        with_small_pages(folder)
    _written(folder, clock, 0, IN_FILE).close()
    store = _written(folder, clock, IN_FILE, WRITTEN)
    copy = tmp_path / "left"
    copy.mkdir()
    for name in (FILE, LOG, "store.lock"):
        shutil.copyfile(folder / name, copy / name)
    store.close()
    return copy


@pytest.fixture
def closed(folder: Path, clock: ManualClock) -> Path:
    """A folder that was closed properly: everything is in the file."""
    _written(folder, clock, 0, WRITTEN).close()
    return folder


def _harm(folder: Path, harm: Harm) -> None:
    content = bytearray((folder / harm.name).read_bytes())
    first, last = (int(place * len(content)) if isinstance(place, float) else place for place in harm[2:])
    dice = random.Random(str(harm))
    content[first:last] = bytes(last - first) if harm.how == ZERO else dice.randbytes(last - first)
    (folder / harm.name).write_bytes(content)


def _page_of(folder: Path, name: str, kind: str) -> int:
    db = apsw.Connection(str(folder / FILE), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        statement = "SELECT min(pageno) FROM dbstat WHERE name = ? AND pagetype = ?"
        return int(db.execute(statement, (name, kind)).get)
    finally:
        db.close()


def _without_page(folder: Path, page: int) -> None:
    _harm(folder, Harm(FILE, ZERO, (page - 1) * 4096, page * 4096))


def _accepted(folder: Path, found: Findings, clock: ManualClock) -> dict[int, JsonObject]:
    """The facts of what was salvaged, by position, once its owner took it."""
    accept_salvage(folder, actor="owner", clock=clock)
    with Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock) as store:
        (receipt, *_) = store.receipts(10)
        assert ("salvage", found.is_lost_known) == (receipt.verb, receipt.document["is_lost_known"])
        facts = {fact.seq: fact.value for fact in store.facts(0, limit=100) if fact.type == "note"}
    assert check_up(folder / FILE, types=TYPES).is_whole
    return facts


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: "-".join(map(str, harm)))
def test_what_is_salvaged_and_what_is_told_cover_what_was_written(left: Path, clock: ManualClock, harm: Harm) -> None:
    """Whatever stretch is gone: no fact is lost untold, and what was there lies aside byte by byte. INV-13."""
    _harm(left, harm)
    before = {name: (left / name).read_bytes() for name in (FILE, LOG)}
    found = examine(left, at=clock.now(), mend=True)
    copies = {name.split("-", 1)[1]: (left / name).read_bytes() for name in found.copies}

    if found.verdict == "damaged":
        assert {FILE: before[FILE], "wal": before[LOG]} == copies
        assert found.salvaged + found.lost_count >= WRITTEN or not found.is_lost_known
        facts = _accepted(left, found, clock)
        assert found.salvaged == len(facts)
        assert copies == {name.split("-", 1)[1]: (left / name).read_bytes() for name in found.copies}
    else:
        assert found.verdict == "whole" or {"wal": before[LOG]} == copies
        assert found.head + found.facts_seen >= WRITTEN or not found.is_lost_known
        with Store.open(left, types=TYPES, origin=ORIGIN, clock=clock) as store:
            facts = {fact.seq: fact.value for fact in store.facts(0, limit=100)}
        assert found.head == len(facts)
    assert facts == {seq: _value(seq - 1) for seq in facts}


@pytest.mark.parametrize("how", [ZERO, NOISE])
@pytest.mark.parametrize("size", [32, 512, 4096])
def test_a_log_whose_beginning_is_gone_gives_all_its_facts_back(
    left: Path, clock: ManualClock, how: str, size: int
) -> None:
    """SQLite would count nothing of it; the frames behind prove themselves, and the facts in them too."""
    _harm(left, Harm(LOG, how, 0, size))
    found = examine(left, at=clock.now(), mend=True)

    assert ("damaged", WRITTEN, 0) == (found.verdict, found.salvaged, found.lost_count)
    assert size > 32 or found.is_lost_known
    assert WRITTEN == len(_accepted(left, found, clock))


@pytest.mark.parametrize("size", [16, 100])
def test_a_database_whose_header_is_gone_loses_nothing(closed: Path, clock: ManualClock, size: int) -> None:
    """All that it says is known beforehand, so that everything else is read by it: where streams resume as well."""
    _harm(closed, Harm(FILE, ZERO, 0, size))
    found = repair(closed, clock=clock)

    assert found is not None and ("damaged", WRITTEN, (), True) == (
        found.verdict,
        found.salvaged,
        found.lost,
        found.is_lost_known,
    )
    assert WRITTEN == len(_accepted(closed, found, clock))
    with Store.open(closed, types=TYPES, origin=ORIGIN, clock=clock) as store:
        assert CURSOR[1] == store.cursor(CURSOR[0])


@pytest.mark.parametrize(
    ("name", "kind"), [("sqlite_schema", "internal"), ("fact", "internal"), ("origin", "leaf"), ("type", "leaf")]
)
def test_facts_that_no_tree_leads_to_are_read_from_their_pages(
    closed: Path, clock: ManualClock, name: str, kind: str
) -> None:
    """The page that leads to all others gone, or the one that says what a row's numbers mean."""
    _without_page(closed, _page_of(closed, name, kind))
    found = repair(closed, clock=clock)

    assert found is not None and ("damaged", WRITTEN, ()) == (found.verdict, found.salvaged, found.lost)
    assert {seq: _value(seq - 1) for seq in range(1, WRITTEN + 1)} == _accepted(closed, found, clock)


def test_facts_that_were_lost_are_not_counted(closed: Path, clock: ManualClock) -> None:
    """A page of facts in the middle is gone: what is held is less than the last position."""
    _without_page(closed, _page_of(closed, "fact", "leaf"))
    found = repair(closed, clock=clock)
    assert found is not None and 0 < found.salvaged < WRITTEN
    _accepted(closed, found, clock)

    with Reader.open(closed, types=TYPES) as reader:
        assert (found.salvaged, len(reader.facts(0, limit=1000))) == (reader.fact_count(), reader.fact_count())


def test_a_verification_ends_where_no_fact_can_be_read(closed: Path) -> None:
    """Also where a mark stands at the very last position, so that nothing is left to look at behind it."""
    _without_page(closed, _page_of(closed, "fact", "internal"))

    with pytest.raises(FileDamaged):
        check_up(closed / FILE, types=TYPES)


@pytest.mark.timeout(60)
def test_a_position_far_beyond_all_others_is_not_searched_for(closed: Path, clock: ManualClock) -> None:
    """Where no fact can be reached, each position up to it would be asked for."""
    page = _page_of(closed, "fact", "internal")
    db = apsw.Connection(str(closed / FILE))
    db.execute("UPDATE current SET seq = ? WHERE key = 'k1'", (2**61,))
    db.close()
    _without_page(closed, page)
    found = repair(closed, clock=clock)

    assert found is not None and (WRITTEN, WRITTEN) == (found.salvaged, found.head)


def test_what_was_removed_is_not_lost_and_does_not_come_back(folder: Path, clock: ManualClock) -> None:
    """Positions that a receipt names are no loss."""
    with _written(folder, clock, 0, WRITTEN) as store:
        removed = [fact.id for fact in store.facts(0, limit=100) if fact.seq in (3, 4, 9)]
        store.prune(removed, actor="owner")
    _without_page(folder, _page_of(folder, "fact", "internal"))
    found = repair(folder, clock=clock)

    assert found is not None and ("damaged", WRITTEN - 3 + 1, (), True) == (
        found.verdict,
        found.salvaged,
        found.lost,
        found.is_lost_known,
    )
    assert {3, 4, 9}.isdisjoint(_accepted(folder, found, clock))


def test_what_was_removed_does_not_come_back_out_of_the_log(folder: Path, tmp_path: Path, clock: ManualClock) -> None:
    """Earlier versions of its pages stand in the log still."""
    left = tmp_path / "left"
    left.mkdir()
    with _written(folder, clock, 0, WRITTEN) as store:
        store.prune([fact.id for fact in store.facts(0, limit=100) if fact.seq in (3, 4, 9)], actor="owner")
        for name in (FILE, LOG, "store.lock"):
            shutil.copyfile(folder / name, left / name)
    _harm(left, Harm(LOG, NOISE, 0, 32))
    found = examine(left, at=clock.now(), mend=True)

    assert (WRITTEN - 3 + 1, (), True) == (found.salvaged, found.lost, found.is_lost_known)
    assert {3, 4, 9}.isdisjoint(_accepted(left, found, clock))


REMOVALS = ["prune", "compact", "erase", "erase with the hash"]


@pytest.mark.parametrize("broken", ["elsewhere", "receipt", "leaf"])
@pytest.mark.parametrize("how", REMOVALS)
def test_what_was_removed_in_the_log_does_not_come_back_out_of_the_file(
    folder: Path, tmp_path: Path, clock: ManualClock, how: str, broken: str
) -> None:
    """The file alone still has what the log took away. Damaged is something else, the receipt's row too (its fact is
    there), or what the log says of the fact.
    """
    left = tmp_path / "left"
    left.mkdir()
    with Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock) as store:
        store.commit([Change(type="note", key=f"k{n}", value=_value(n) | {"title": f"secret{n}x"}) for n in range(40)])
    with Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock) as store:
        (fact,) = store.facts(19, limit=1)
        reader = _reading(folder)
        _remove(store, fact.id, how)
        for name in (FILE, LOG, "store.lock"):
            shutil.copyfile(folder / name, left / name)
        reader.close()
    in_log = set(_pages_in(left / LOG))
    _without_page(left, next(page for page in _leaves(folder, "fact") if page not in in_log))
    content = (left / FILE).read_bytes()
    if broken == "receipt":
        _without_frames(left / LOG, set(_leaves(folder, "receipt")))
    elif broken == "leaf":
        _without_frames(left / LOG, {content.index(b"secret19x") // 4096 + 1})
    found = examine(left, at=clock.now(), mend=True)
    (salvaged,) = (left / name for name in found.aside if name.endswith("salvage.db"))

    assert "damaged" == found.verdict
    assert b"secret19x" not in salvaged.read_bytes()
    facts = _accepted(left, found, clock)
    assert ({} if "erase" in how and broken != "leaf" else None) == facts.get(20)
    assert fact.value not in facts.values()


def test_what_was_deleted_beside_the_facts_does_not_come_back(folder: Path, tmp_path: Path, clock: ManualClock) -> None:
    """Numbers, what waits in quarantine and where a stream resumes: the file alone still has them."""
    left = tmp_path / "left"
    left.mkdir()
    odd = Change(type="note", key="odd", value={"secret": "waiting words", "n": float("nan")})
    with Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock) as store:
        notes = [Change(type="note", key=f"k{n}", value=_value(n)) for n in range(40)]
        store.commit([*notes, odd], cursor=CURSOR, samples=[("p", 50.0 * n, float(n)) for n in range(5)])
    with Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock) as store:
        reader = _reading(folder)
        store.series.delete("p", since=0.0, until=1e9, actor="owner")
        store.drop_quarantined(store.quarantined(10)[0].position, actor="owner")
        store.set_cursor("notes", None)
        for name in (FILE, LOG, "store.lock"):
            shutil.copyfile(folder / name, left / name)
        reader.close()
    in_log = set(_pages_in(left / LOG))
    _without_page(left, next(page for page in _leaves(folder, "fact") if page not in in_log))
    found = examine(left, at=clock.now(), mend=True)
    (salvaged,) = (left / name for name in found.aside if name.endswith("salvage.db"))

    assert "damaged" == found.verdict
    assert b"waiting words" not in salvaged.read_bytes()
    _accepted(left, found, clock)
    with Reader.open(left, types=TYPES) as reading:
        assert ([], [], None) == (
            reading.series.samples("p", limit=10).moments,
            reading.quarantined(10),
            reading.cursor("notes"),
        )


def _reading(folder: Path) -> apsw.Connection:
    """A reader that keeps what is in the log from being moved into the file."""
    db = apsw.Connection(str(folder / FILE), flags=apsw.SQLITE_OPEN_READONLY)
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM fact").fetchall()
    return db


def _remove(store: Store, fact_id: str, how: str) -> None:
    if how == "prune":
        store.prune([fact_id], actor="owner")
    elif how == "compact":
        store.commit([Change(type="note", key="k19", value={"title": "later"})])
        store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
        store.compact(actor="owner")
    else:
        store.erase(ids=[fact_id], actor="owner", drop_hash=how != "erase")


def _leaves(folder: Path, name: str) -> list[int]:
    db = apsw.Connection(str(folder / FILE), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows = db.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'", (name,))
        return [int(page) for (page,) in rows]
    finally:
        db.close()


def _pages_in(log: Path) -> dict[int, int]:
    """The pages that the log has, and where their last frame begins."""
    content = log.read_bytes()
    places = range(HEADER_BYTES, len(content), FRAME_HEADER_BYTES + 4096)
    return {int.from_bytes(content[place : place + 4], "big"): place for place in places}


def _without_frames(log: Path, pages: set[int]) -> None:
    content = bytearray(log.read_bytes())
    for page, place in _pages_in(log).items():
        if page in pages:
            content[place + FRAME_HEADER_BYTES : place + FRAME_HEADER_BYTES + 4096] = bytes(4096)
    log.write_bytes(content)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_log_without_its_file_is_damage(left: Path, clock: ManualClock, is_there: bool) -> None:
    """SQLite would remove the log of an empty file; what it holds is salvaged, and it lies aside."""
    log = (left / LOG).read_bytes()
    (left / FILE).unlink()
    if is_there:
        (left / FILE).touch()
    assert not is_settled(left)
    with Reader.open(left, types=TYPES) as reader, suppress(FileDamaged):
        assert 0 == reader.head()
    found = recover(left, clock=clock)

    assert found is not None and "damaged" == found.verdict
    assert found.salvaged + found.lost_count >= WRITTEN or not found.is_lost_known
    assert [log] == [(left / name).read_bytes() for name in found.copies if name.endswith("-wal")]


def test_what_is_unknown_is_told_in_words() -> None:
    """Never that nothing is lost where nobody can know."""
    known = Findings(verdict="damaged", at=0.0, salvaged=1200, head=1200)
    unknown = Findings(verdict="damaged", at=0.0, salvaged=20, head=20, is_lost_known=False)

    assert "1,200 facts could be salvaged, 0 are lost" == known.told_salvaged
    assert "an unknown number may be lost; the last position known is 20" == unknown.told_lost
    assert "an unknown number of facts" in unknown.told_dropped

"""A store that was not closed properly: what was whole is kept, what was torn is told, what is damaged waits."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec
import pytest

from core.model.clock import ManualClock
from core.model.errors import Broken, FileDamaged, NotFound, WriterBusy
from core.model.fact import Change
from core.store import Reader, Store
from core.store.care.checkup import check_up
from core.store.care.findings import MARKER, QUARANTINE, Findings, damage_of, spans_of
from core.store.care.recovery import accept_salvage, inspect, recover, repair
from core.store.care.salvage import examine
from core.store.care.verify import Span
from core.store.care.walfile import FRAME_HEADER_BYTES, HEADER_BYTES
from tests.store.care.small import SMALL_PAGE_BYTES, with_small_pages
from tests.store.conftest import ORIGIN, TYPES
from tests.store.disks import small_disk

PAGE_BYTES = SMALL_PAGE_BYTES
FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES
COMMITS = 4
PARTS = 8

Left = tuple[Path, list[tuple[int, int]]]


def _open(folder: Path, clock: ManualClock) -> Store:
    return Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock)


def _change(number: int) -> Change:
    return Change(type="note", key=f"k{number % 5}", value={"n": number, "title": f"word{number}", "text": "x" * 60})


def _copy(source: Path, target: Path) -> Path:
    """The files of a store as a killed writer leaves them: no process holds them."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in ("store.db", "store.db-wal", "store.lock"):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    return target


@pytest.fixture
def left(folder: Path, tmp_path: Path, clock: ManualClock) -> Left:
    """A folder as a kill leaves it, and for each commit how long the log was after it and the head."""
    _open(with_small_pages(folder), clock).close()
    ends = []
    store = _open(folder, clock)
    ends.append(((folder / "store.db-wal").stat().st_size, 0))
    for number in range(COMMITS):
        store.commit([_change(number)])
        ends.append(((folder / "store.db-wal").stat().st_size, store.head()))
    copy = _copy(folder, tmp_path / "left")
    store.close()
    return copy, ends


def _examined(folder: Path, clock: ManualClock) -> Findings:
    """As the helper process does it; here nobody has a connection either."""
    return examine(folder, at=clock.now(), mend=True)


def _cut(left: Left, tmp_path: Path, length: int) -> Path:
    folder = _copy(left[0], tmp_path / "cut")
    os.truncate(folder / "store.db-wal", length)
    return folder


def _flipped(left: Left, tmp_path: Path, bit: int, *, name: str = "store.db-wal") -> Path:
    folder = _copy(left[0], tmp_path / "flipped")
    with open(folder / name, "r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))
    return folder


def _check_told(left: Left, tmp_path: Path, length: int) -> None:
    """Exactly the whole commits are seen, and a cut within a commit is told as a torn tail."""
    whole = max((head for end, head in left[1] if end <= length), default=0)
    found = examine(_cut(left, tmp_path, length), at=1.0, mend=False)
    assert whole == found.head, length
    assert "damaged" != found.verdict, length
    if left[1][0][0] <= length and length not in {end for end, _ in left[1]}:
        assert "tail_dropped" == found.verdict, length
        assert length - max(end for end, _ in left[1] if end <= length) == found.bytes, length


def _check_writable(left: Left, tmp_path: Path, clock: ManualClock, length: int) -> None:
    """The torn tail is gone before the first new write, a copy of it is kept, and later writes last."""
    folder = _cut(left, tmp_path, length)
    whole = max((head for end, head in left[1] if end <= length), default=0)
    found = _examined(folder, clock)
    if found.verdict == "tail_dropped":
        assert [f"{QUARANTINE}/20231114T221320Z-wal"] == list(found.aside)
        assert length == (folder / found.aside[0]).stat().st_size
        assert 0 == (folder / "store.db-wal").stat().st_size if (folder / "store.db-wal").exists() else True
    with _open(folder, clock) as store:
        assert whole == store.head(), length
        for number in range(5):
            store.commit([_change(100 + number)])
    with _open(folder, clock) as store:
        assert whole + 5 == store.head(), length


def test_torn_tail_at_every_frame(left: Left, tmp_path: Path, clock: ManualClock) -> None:
    """Cut at and beside each frame's borders: the commits wholly inside, and later writes survive. INV-02, S1."""
    size = (left[0] / "store.db-wal").stat().st_size
    borders = range(HEADER_BYTES, size + 1, FRAME_BYTES)

    for length in (0, 1, HEADER_BYTES - 1, *(border + n for border in borders for n in (-1, 0, 1, 23, 24, 2000))):
        if 0 <= length <= size:
            _check_told(left, tmp_path, length)
    for length in range(0, size, size // 12):
        _check_writable(left, tmp_path, clock, length)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
def test_torn_tail_at_every_length(left: Left, tmp_path: Path, clock: ManualClock, part: int) -> None:
    """At every length of the log: the commits wholly inside it, and later writes survive. INV-02, S1."""
    size = (left[0] / "store.db-wal").stat().st_size

    for length in range(part, size + 1, PARTS):
        _check_told(left, tmp_path, length)
        if length % 29 == 0:
            _check_writable(left, tmp_path, clock, length)


def _check_flip(left: Left, tmp_path: Path, bit: int) -> None:
    """Where a flip in the log costs facts, it is told, and as many are named as are lost."""
    found = examine(_flipped(left, tmp_path, bit), at=1.0, mend=False)
    if found.head < COMMITS:
        assert found.verdict in ("tail_dropped", "damaged"), bit
        assert COMMITS - found.head == found.facts_seen, bit
    else:
        assert () == found.faults and () == found.bad, bit


def test_flipped_bits_in_the_log_are_told(left: Left, tmp_path: Path) -> None:
    """In the write-ahead log, some bits of every part of every frame. INV-13, S2."""
    size = (left[0] / "store.db-wal").stat().st_size
    dice = random.Random(2)
    bits = [8 * n + dice.randrange(8) for n in range(HEADER_BYTES)]
    for border in range(HEADER_BYTES, size, FRAME_BYTES):
        bits += [8 * (border + n) + dice.randrange(8) for n in range(0, FRAME_HEADER_BYTES, 3)]
        bits += [8 * (border + dice.randrange(FRAME_HEADER_BYTES, FRAME_BYTES)) + dice.randrange(8) for _ in range(3)]

    for bit in bits:
        _check_flip(left, tmp_path, bit)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_flipped_bit_in_the_log_is_told(left: Left, tmp_path: Path, part: int) -> None:
    """In the write-ahead log, bit by bit. INV-13, S2."""
    for bit in range(part, 8 * (left[0] / "store.db-wal").stat().st_size, PARTS):
        _check_flip(left, tmp_path, bit)


def _middle(left: Left) -> int:
    """A bit in a page of the third commit."""
    return 8 * (left[1][2][0] + FRAME_HEADER_BYTES + 100)


def test_damage_waits_for_its_owner(left: Left, tmp_path: Path, clock: ManualClock) -> None:
    """Commits lost before others: nobody writes until the owner accepts, and then all that was acknowledged is there
    or named in the receipt.
    """
    folder = _flipped(left, tmp_path, _middle(left))
    found = recover(folder, clock=clock)
    assert found is not None and "damaged" == found.verdict
    assert found == damage_of(folder) == recover(folder, clock=clock)
    with pytest.raises(FileDamaged):
        _open(folder, clock)
    with Reader.open(folder, types=TYPES) as reader:
        assert 2 == reader.head()
    assert ["store.db", "wal", "salvage.db"] == [name.split("-", 1)[1] for name in found.aside]

    accept_salvage(folder, actor="owner", clock=clock)

    assert not (folder / MARKER).exists()
    with _open(folder, clock) as store:
        lost = sum(span.last - span.first + 1 for span in found.lost)
        assert COMMITS == store.head() == found.head == lost + found.salvaged
        assert found.salvaged == len(store.facts(0, limit=100))
        (receipt,) = store.receipts(10)
        assert ("salvage", "owner", found.salvaged) == (receipt.verb, receipt.actor, receipt.document["salvaged"])
        store.commit([_change(100)])
        assert COMMITS + 1 == store.head()
    assert check_up(folder / "store.db", types=TYPES).is_whole


def test_salvage_finds_nothing_lost_where_only_a_header_is_damaged(
    left: Left, tmp_path: Path, clock: ManualClock
) -> None:
    """The log's header gone, SQLite would count no commit; all of them are salvaged."""
    folder = _flipped(left, tmp_path, 8 * 20)
    found = _examined(folder, clock)

    assert ("damaged", COMMITS, COMMITS, ()) == (found.verdict, found.salvaged, found.facts_seen, found.lost)


def test_a_log_moved_into_the_database_already_is_no_loss(folder: Path, tmp_path: Path, clock: ManualClock) -> None:
    """Damage in a log whose pages all lie in the database costs nothing, and stops nobody."""
    store = _open(folder, clock)
    store.commit([_change(1)])
    db = apsw.Connection(str(folder / "store.db"))
    db.execute("SELECT count(*) FROM fact").fetchall()
    assert 0 < db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)[1]
    db.close()
    damaged = _flipped((_copy(folder, tmp_path / "left"), []), tmp_path, 8 * 20)
    store.close()
    found = _examined(damaged, clock)

    assert ("tail_dropped", 0, 1) == (found.verdict, found.facts_seen, found.head)
    with _open(damaged, clock) as again:
        assert 1 == again.head()


def test_database_without_order_is_damaged_and_salvaged(folder: Path, clock: ManualClock) -> None:
    """A page of the database itself turned to noise: what the other pages hold is salvaged, the rest is named."""
    with _open(with_small_pages(folder), clock) as store:
        for number in range(300):
            store.commit([_change(number)])
    page = _page_of(folder, "fact", 30)
    with open(folder / "store.db", "r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(os.urandom(PAGE_BYTES))
    (folder / "store.lock").write_bytes(b"{}")
    found = recover(folder, clock=clock)

    assert found is not None and "damaged" == found.verdict
    assert 300 == found.salvaged + found.lost_count and found.lost_count > 0
    accept_salvage(folder, actor="owner", clock=clock)
    with _open(folder, clock) as store:
        assert found.salvaged == len(_all_facts(store))


def _page_of(folder: Path, table: str, number: int) -> int:
    db = apsw.Connection(str(folder / "store.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows = db.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path", (table,))
        return int(rows.fetchall()[number][0])
    finally:
        db.close()


def _all_facts(store: Store) -> list[int]:
    seqs: list[int] = []
    while page := store.facts(seqs[-1] if seqs else 0, limit=1000):
        seqs += [fact.seq for fact in page]
    return seqs


def test_repair_looks_at_what_was_closed_properly(folder: Path, clock: ManualClock) -> None:
    """An index that lacks an entry is found by looking closely, and the store made anew lacks nothing."""
    assert repair(folder, clock=clock) is None
    with _open(folder, clock) as store:
        for number in range(20):
            store.commit([_change(number)])
    whole = repair(folder, clock=clock)
    assert whole is not None and "whole" == whole.verdict
    page = _page_of(folder, "current_newest", 0)
    with open(folder / "store.db", "r+b") as file:
        file.seek(page * 4096 - 1)
        file.write(b"\x7f")
    assert check_up(folder / "store.db", types=TYPES).faults
    found = repair(folder, clock=clock)

    assert found is not None and ("damaged", 20, ()) == (found.verdict, found.salvaged, found.lost)
    accept_salvage(folder, actor="owner", clock=clock)
    _open(folder, clock).close()
    assert check_up(folder / "store.db", types=TYPES).is_whole


def test_clean_close_needs_no_look(folder: Path, clock: ManualClock) -> None:
    """After a proper close nothing is examined; a folder without a store has nothing to look at."""
    assert recover(folder, clock=clock) is None
    with _open(folder, clock) as store:
        store.commit([_change(1)])

    assert recover(folder, clock=clock) is None
    with _open(folder, clock) as store:
        assert (True, None) == (store.was_clean, store.found)


def test_store_opens_after_a_kill_with_its_findings(left: Left, clock: ManualClock) -> None:
    """Whoever opens a store that nobody recovered gets the same done first."""
    with open(left[0] / "store.db-wal", "r+b") as file:
        file.truncate(left[1][-1][0] - 10)

    with _open(left[0], clock) as store:
        assert COMMITS - 1 == store.head()
        assert store.found is not None
        assert ("tail_dropped", 1) == (store.found.verdict, store.found.facts_seen)


def test_recovery_refuses_beside_a_writer(folder: Path, clock: ManualClock) -> None:
    """What somebody writes is not to be mended."""
    with _open(folder, clock), pytest.raises(WriterBusy):
        recover(folder, clock=clock)


def test_inspecting_changes_nothing(left: Left, clock: ManualClock) -> None:
    """The same is found, and the files stay as they are."""
    with open(left[0] / "store.db-wal", "r+b") as file:
        file.truncate(left[1][-1][0] - 10)
    before = {path.name: path.read_bytes() for path in left[0].iterdir()}
    found = inspect(left[0], at=clock.now())

    assert ("tail_dropped", 1, ()) == (found.verdict, found.facts_seen, found.aside)
    assert before == {path.name: path.read_bytes() for path in left[0].iterdir()}


def test_nothing_to_accept_is_said(folder: Path, clock: ManualClock) -> None:
    """Accepting a salvage that nobody waits for is refused."""
    _open(folder, clock).close()

    with pytest.raises(NotFound):
        accept_salvage(folder, actor="owner", clock=clock)


@pytest.mark.parametrize("name", ["{elsewhere}/salvage.db", "../../elsewhere/salvage.db", f"{QUARANTINE}/salvage.db"])
def test_nothing_from_elsewhere_is_accepted(folder: Path, tmp_path: Path, clock: ManualClock, name: str) -> None:
    """A connector can write any name into its own folder; what another service has salvaged is not taken by it."""
    _open(folder, clock).close()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "salvage.db").write_bytes(b"another's")
    (folder / QUARANTINE).symlink_to(elsewhere)
    found = Findings(verdict="damaged", at=1.0, aside=(name.format(elsewhere=elsewhere),))
    (folder / MARKER).write_bytes(msgspec.json.encode(found))

    with pytest.raises(FileDamaged, match="nothing could be salvaged"):
        accept_salvage(folder, actor="owner", clock=clock)
    assert b"another's" == (elsewhere / "salvage.db").read_bytes()


def test_no_room_for_copies_leaves_none(left: Left, tmp_path: Path, clock: ManualClock) -> None:
    """Each start would try again, and leave half a copy on a disk that is full."""
    damaged = _flipped(left, tmp_path, _middle(left))
    size = sum(path.stat().st_size for path in damaged.iterdir())
    with small_disk(tmp_path / "disk", size_bytes=size + 256 * 1024) as disk:
        folder = _copy(damaged, disk / "notes")
        (disk / "fill").write_bytes(b"x" * max(0, shutil.disk_usage(disk).free - 12 * 1024))
        with pytest.raises(OSError, match="No space"):
            _examined(folder, clock)

        assert [] == list((folder / QUARANTINE).iterdir())
        assert not (folder / MARKER).exists()
        (disk / "fill").unlink()
        assert "damaged" == _examined(folder, clock).verdict


@pytest.mark.parametrize(
    ("name", "look"), [("store.db-wal", lambda folder: inspect(folder, at=1.0)), (MARKER, damage_of)]
)
def test_a_pipe_is_not_waited_for(
    folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, name: str, look: Callable[[Path], object]
) -> None:
    """A connector can put one in the place of any file of its own, and hold it open."""
    monkeypatch.setattr("core.store.care.recovery.HELPER_S_MAX", 20.0)
    _open(folder, clock).close()
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    held = os.open(folder / name, os.O_RDWR)

    with pytest.raises(FileDamaged, match="is not a regular file"):
        look(folder)
    os.close(held)


def test_a_look_that_does_not_end_is_told(folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the store's name, with what may help."""
    _open(folder, clock).close()
    monkeypatch.setattr("core.store.care.recovery.HELPER_S_MAX", 0.0)

    with pytest.raises(Broken, match="notes: the store was not examined"):
        inspect(folder, at=clock.now())


def test_accepting_goes_on_where_it_was_killed(left: Left, tmp_path: Path, clock: ManualClock) -> None:
    """The salvaged store already in place, but its marker still there: accepting again ends it, with one receipt."""
    folder = _flipped(left, tmp_path, _middle(left))
    found = recover(folder, clock=clock)
    assert found is not None
    marker = (folder / MARKER).read_bytes()
    accept_salvage(folder, actor="owner", clock=clock)
    (folder / MARKER).write_bytes(marker)
    accept_salvage(folder, actor="owner", clock=clock)

    with _open(folder, clock) as store:
        assert 1 == len(store.receipts(10))


def test_a_folded_state_that_differs_is_folded_anew(left: Left, clock: ManualClock) -> None:
    """A record missing among the current ones is there again after an unclean close."""
    db = apsw.Connection(str(left[0] / "store.db"))
    db.execute("DELETE FROM current WHERE key = 'k1'")
    db.close()
    (left[0] / "store.lock").write_bytes(b"{}")

    with _open(left[0], clock) as store:
        assert store.found is not None and store.found.folds_differ
        assert store.record("note", "k1") is not None


def test_a_bad_row_near_the_end_is_named(left: Left, clock: ManualClock) -> None:
    """It does not keep the store from being opened, nor the rows after it from being read."""
    db = apsw.Connection(str(left[0] / "store.db"))
    db.execute("UPDATE fact SET value = replace(value, 'word3', 'wort3') WHERE seq = 4")
    db.close()
    (left[0] / "store.lock").write_bytes(b"{}")

    with _open(left[0], clock) as store:
        assert store.found is not None
        assert ("whole", (4,)) == (store.found.verdict, store.found.bad)


def test_neighbouring_positions_are_one_span() -> None:
    """Lists of positions are told in short."""
    assert (Span(1, 3), Span(5, 5), Span(8, 9)) == spans_of([1, 2, 3, 5, 8, 9])
    assert 6 == Findings(verdict="damaged", at=0.0, lost=spans_of([1, 2, 3, 5, 8, 9])).lost_count


PROGRAM = Path(__file__).parents[3] / "core" / "store" / "care" / "salvage.py"


def test_helper_is_a_program_of_its_own(left: Left) -> None:
    """It answers with one line of JSON, and loads no more of Locker than it needs."""
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-X", "importtime", str(PROGRAM), str(left[0]), "1.0", "inspect"],
        capture_output=True,
        check=True,
        text=True,
    )

    assert 1 == done.stdout.count("\n") and '"verdict":"whole"' in done.stdout
    assert "core.store.care.salvage" not in done.stderr and "core.store.store" not in done.stderr


SANDBOXED = """
import sys
from pathlib import Path
from core.model.clock import SystemClock
from core.process.sandbox import Sandbox, landlock_abi, restrict
from core.store import Origin, Store

folder, checkout = Path(sys.argv[1]), Path(sys.argv[2])
walls = Sandbox(own=(str(folder),), runs=(sys.prefix, sys.base_prefix), reads=(str(checkout / "core"),))
if not landlock_abi():
    sys.exit(77)
restrict(walls, abi=landlock_abi())
with Store.open(folder, types={}, origin=Origin("device/uid", 1), clock=SystemClock()) as store:
    print(store.found.verdict, store.head())
"""


def test_a_child_in_its_sandbox_is_helped_too(left: Left) -> None:
    """The helper works where the checkout's root is closed."""
    (left[0] / "store.lock").write_bytes(b"{}")
    done = subprocess.run(
        [sys.executable, "-c", SANDBOXED, str(left[0]), str(PROGRAM.parents[3])], capture_output=True, text=True
    )
    if done.returncode == 77:
        pytest.skip("no sandbox here")

    assert ("", f"whole {COMMITS}\n") == (done.stderr, done.stdout)

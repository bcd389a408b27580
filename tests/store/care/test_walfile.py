"""The walk over a write-ahead log agrees with SQLite on what counts, and tells what SQLite keeps silent about."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import apsw
import pytest

from core.store.care.walfile import (
    FRAME_HEADER_BYTES,
    HEADER_BYTES,
    Verdict,
    Walk,
    checksum,
    walk,
)

PAGE_BYTES = 512
COMMITS = 6


def _walked(data: bytes, *, page_bytes: int = PAGE_BYTES) -> Walk:
    return walk(lambda offset, length: data[offset : offset + length], len(data), page_bytes=page_bytes)


def _copy(folder: Path, name: str, wal: bytes) -> Path:
    made = folder / name
    made.mkdir(exist_ok=True)
    shutil.copyfile(folder / "base.db", made / "store.db")
    (made / "store.db-shm").unlink(missing_ok=True)
    (made / "store.db-wal").write_bytes(wal)
    return made / "store.db"


def _rows(path: Path) -> list[Any]:
    """What SQLite finds in the database with its log."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return db.execute("SELECT n FROM t ORDER BY n").get or []
    finally:
        db.close()


def _counted(path: Path) -> int:
    rows = _rows(path)
    return 1 if isinstance(rows, int) else len(rows)


def _made(folder: Path, *, page_bytes: int = PAGE_BYTES, rows_per_commit: int = 1, leftovers: bool = False) -> bytes:
    """A log of some commits, its database beside it as `base.db` with nothing of the log in it."""
    path = folder / "origin.db"
    db = apsw.Connection(str(path))
    db.pragma("page_size", page_bytes)
    db.pragma("journal_mode", "wal")
    db.pragma("wal_autocheckpoint", 0)
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)")
    if leftovers:  # A longer generation before, so that its frames lie behind those of the next.
        db.execute("CREATE TABLE other (n INTEGER PRIMARY KEY, text TEXT)")
        for _ in range(20):
            db.execute("INSERT INTO other (text) VALUES (hex(randomblob(100)))")
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    else:
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    shutil.copyfile(path, folder / "base.db")
    for _ in range(COMMITS):
        with db:
            for _ in range(rows_per_commit):
                db.execute("INSERT INTO t (text) VALUES (hex(randomblob(100)))")
    wal = path.with_name("origin.db-wal").read_bytes()
    db.close()
    return wal


@pytest.mark.parametrize("page_bytes", [512, 4096, 65536])
def test_a_whole_log_is_whole(tmp_path: Path, page_bytes: int) -> None:
    """Every commit counts and nothing is lost, at each page size."""
    found = _walked(_made(tmp_path, page_bytes=page_bytes), page_bytes=page_bytes)

    assert (Verdict.WHOLE, COMMITS, 0) == (found.verdict, found.commits, found.lost_bytes)
    assert found.valid == len(found.frames) and () == found.tail


def test_leftovers_of_an_earlier_generation_are_no_loss(tmp_path: Path) -> None:
    """A log begun anew over a longer one ends where its own frames end."""
    found = _walked(_made(tmp_path, leftovers=True))

    assert (Verdict.WHOLE, COMMITS, 0) == (found.verdict, found.commits, found.lost_bytes)
    assert found.valid < len(found.frames)


def test_every_cut_counts_what_sqlite_counts(tmp_path: Path) -> None:
    """At each length the walk counts SQLite's commits; a cut within a commit is a torn tail, and told."""
    wal = _made(tmp_path, rows_per_commit=3)
    ends = [HEADER_BYTES] + [
        frame.offset + FRAME_HEADER_BYTES + PAGE_BYTES for frame in _walked(wal).frames if frame.pages
    ]

    for length in range(len(wal) + 1):
        found = _walked(wal[:length])
        whole = sum(end <= length for end in ends[1:])
        assert whole == found.commits, length
        assert (Verdict.WHOLE if length in (0, *ends) else Verdict.TORN) == found.verdict, length
        assert length - max((end for end in ends if end <= length), default=0) == found.lost_bytes, length
    for length in range(0, len(wal) + 1, 97):
        path = _copy(tmp_path, "cut", wal[:length])
        assert 3 * _walked(wal[:length]).commits == _counted(path), length


def test_every_flipped_bit_that_costs_a_commit_is_told(tmp_path: Path) -> None:
    """Whatever bit flips: where SQLite counts fewer commits, the walk says so, and counts the same."""
    wal = _made(tmp_path)
    places = [*range(HEADER_BYTES + FRAME_HEADER_BYTES), *range(HEADER_BYTES + FRAME_HEADER_BYTES, len(wal), 61)]
    frames = _walked(wal).frames
    places += [frame.offset + n for frame in frames for n in range(FRAME_HEADER_BYTES)]

    for place in places:
        for bit in range(8):
            flipped = bytearray(wal)
            flipped[place] ^= 1 << bit
            found = _walked(bytes(flipped))
            if found.commits < COMMITS:
                assert found.verdict is not Verdict.WHOLE, (place, bit)
            if 2 <= bit <= 3:
                assert found.commits == _counted(_copy(tmp_path, "flip", bytes(flipped))), (place, bit)


def test_a_flip_before_other_commits_is_damage(tmp_path: Path) -> None:
    """Where whole commits follow the broken one it is no torn tail, and they are seen to be intact."""
    wal = bytearray(_made(tmp_path))
    wal[HEADER_BYTES + FRAME_HEADER_BYTES + 20] ^= 4
    found = _walked(bytes(wal))

    assert (Verdict.DAMAGED, 0, 0) == (found.verdict, found.commits, found.valid)
    assert [False] + [True] * (len(found.frames) - 1) == [frame.is_intact for frame in found.frames]


def test_a_flip_in_the_last_commit_is_a_torn_tail(tmp_path: Path) -> None:
    """A damaged last commit looks like an unfinished one."""
    wal = bytearray(_made(tmp_path))
    wal[-20] ^= 4
    found = _walked(bytes(wal))

    assert (Verdict.TORN, COMMITS - 1) == (found.verdict, found.commits)
    assert found.lost_bytes == len(found.tail) * (FRAME_HEADER_BYTES + PAGE_BYTES)


def test_a_last_frame_with_wrong_salts_is_no_leftover(tmp_path: Path) -> None:
    """Its checksum goes on from the frame before, as that of no earlier generation could."""
    wal = bytearray(_made(tmp_path))
    last = _walked(bytes(wal)).frames[-1]
    wal[last.offset + 8] ^= 1
    found = _walked(bytes(wal))

    assert (Verdict.TORN, COMMITS - 1, FRAME_HEADER_BYTES + PAGE_BYTES) == (
        found.verdict,
        found.commits,
        found.lost_bytes,
    )


@pytest.mark.parametrize("place", range(HEADER_BYTES))
def test_a_damaged_header_hides_no_frame(tmp_path: Path, place: int) -> None:
    """SQLite would count nothing; the frames are found all the same, except the checkpoint number's they follow."""
    wal = bytearray(_made(tmp_path))
    whole = _walked(bytes(wal))
    wal[place] ^= 0x10
    found = _walked(bytes(wal))

    assert (Verdict.DAMAGED, 0, 0) == (found.verdict, found.commits, found.valid)
    assert [frame.offset for frame in whole.frames] == [frame.offset for frame in found.frames]
    assert all(frame.is_intact for frame in found.frames)


@pytest.mark.parametrize("filler", [bytes(1), b"\x5a"], ids=["zeroed", "overwritten"])
@pytest.mark.parametrize("size", [HEADER_BYTES, 512, 4096])
def test_a_lost_beginning_hides_no_frame_behind_it(tmp_path: Path, filler: bytes, size: int) -> None:
    """Frames that go on from each other prove what they are, whatever became of those before them."""
    wal = _made(tmp_path, leftovers=True)
    whole = _walked(wal)
    found = _walked(filler * size + wal[size:], page_bytes=4096)
    first = next(number for number, frame in enumerate(whole.frames) if frame.offset >= size)
    behind = [frame.is_intact for frame in found.frames[first : whole.valid]]

    assert (Verdict.DAMAGED, 0, PAGE_BYTES) == (found.verdict, found.valid, found.page_bytes)
    assert [frame.offset for frame in whole.frames] == [frame.offset for frame in found.frames]
    # The first behind the gap goes on from one that is gone.
    assert ([True] if first == 0 else [False]) + [True] * (len(behind) - 1) == behind
    assert not any(frame.is_ours for frame in found.frames[whole.valid :])


@pytest.mark.parametrize("filler", [bytes(1), b"\x5a"], ids=["zeroed", "overwritten"])
def test_an_end_that_was_overwritten_is_no_leftover(tmp_path: Path, filler: bytes) -> None:
    """Frames of no generation stand where others stood, or were to be written."""
    wal = _made(tmp_path)
    frames = _walked(wal).frames
    cut = len(frames) - 2
    last = frames[cut].offset
    found = _walked(wal[:last] + filler * (len(wal) - last))

    assert (Verdict.TORN, sum(frame.pages > 0 for frame in frames[:cut])) == (found.verdict, found.commits)
    assert found.broken and found.lost_bytes >= len(wal) - last


def test_a_page_that_comes_twice_was_written_by_two_commits(tmp_path: Path) -> None:
    """The frame that ended the first of them gone, they look like a single one that was not finished."""
    wal = bytearray(_made(tmp_path, rows_per_commit=3))
    ends = [frame for frame in _walked(bytes(wal)).frames if frame.pages]
    wal[ends[-2].offset : ends[-2].offset + FRAME_HEADER_BYTES + PAGE_BYTES] = bytes(FRAME_HEADER_BYTES + PAGE_BYTES)
    found = _walked(bytes(wal))
    pages = [frame.page for frame in found.tail[:-1] if frame.is_intact]

    assert COMMITS - 2 == found.commits
    assert (Verdict.DAMAGED if len(pages) > len(set(pages)) else Verdict.TORN) == found.verdict


def test_a_log_of_noise_is_damage() -> None:
    """What no frame speaks for is lost as a whole."""
    found = _walked(bytes(range(256)) * 20)

    assert (Verdict.DAMAGED, 5120, ()) == (found.verdict, found.lost_bytes, found.frames)


def test_checksums_of_the_other_order_of_bytes_are_read(tmp_path: Path) -> None:
    """A log written on a big-endian machine is walked too."""
    found = _walked(_swapped(_made(tmp_path)))

    assert (Verdict.WHOLE, COMMITS) == (found.verdict, found.commits)


def _swapped(wal: bytes) -> bytes:
    """The same log with its checksums reckoned as a big-endian machine reckons them."""
    head = struct.pack(">I", 0x377F0683) + wal[4:24]
    sums = checksum(head, (0, 0), big_endian=True)
    done = [head + struct.pack(">II", *sums)]
    for offset in range(HEADER_BYTES, len(wal), FRAME_HEADER_BYTES + PAGE_BYTES):
        raw = wal[offset : offset + FRAME_HEADER_BYTES + PAGE_BYTES]
        sums = checksum(raw[FRAME_HEADER_BYTES:], checksum(raw[:8], sums, big_endian=True), big_endian=True)
        done.append(raw[:16] + struct.pack(">II", *sums) + raw[FRAME_HEADER_BYTES:])
    return b"".join(done)


def test_a_flip_in_a_commits_mark_is_told(tmp_path: Path) -> None:
    """Two commits that look like one, because the first's mark is gone, are still a loss that is told."""
    wal = bytearray(_made(tmp_path))
    frames = _walked(bytes(wal)).frames
    marks = [frame for frame in frames if frame.pages]
    wal[marks[-2].offset + 4 : marks[-2].offset + 8] = bytes(4)
    found = _walked(bytes(wal))

    assert found.verdict is not Verdict.WHOLE
    assert COMMITS - 2 == found.commits

"""One writer per store: who it is can be told, it is freed by death, and no other process inherits it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from core.model.clock import ManualClock
from core.model.errors import Broken, FileDamaged, WriterBusy
from core.model.fact import Change
from core.store import Store
from core.store.lock import LOCK_BYTES, WriterLock, boot_id, holder_of, is_held
from tests.store.conftest import ORIGIN, TYPES, OpenStore

DEADLINE_S = 20.0

HOLDER = """
import os, subprocess, sys, time
from pathlib import Path
from core.store.lock import WriterLock
lock = WriterLock.acquire(Path(sys.argv[1]))
what = sys.argv[2]
if what == "fork" and os.fork() == 0:
    time.sleep(60)
    os._exit(0)
if what == "exec":
    subprocess.Popen(["sleep", "60"], close_fds=False)
print("held", flush=True)
sys.stdin.readline()
lock.release(clean=True)
print("released", flush=True)
sys.stdin.readline()
"""


@contextmanager
def holder(folder: Path, what: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process, and maybe a child of it, that holds the folder's lock; all ended afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert "held\n" == process.stdout.readline()
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=DEADLINE_S)


def test_second_writer_is_refused_and_told_who_writes(folder: Path) -> None:
    """The error names the process; the file does too."""
    with holder(folder) as process:
        with pytest.raises(WriterBusy, match=f"process {process.pid} writes"):
            WriterLock.acquire(folder)
        found = holder_of(folder)

    assert found is not None
    assert (process.pid, boot_id(), False) == (found.pid, found.boot_id, found.clean)


def test_second_store_in_the_same_process_is_refused(open_store: OpenStore) -> None:
    """The promise is one writer, not one process."""
    open_store()

    with pytest.raises(WriterBusy, match=f"process {os.getpid()} writes"):
        open_store()


def test_lock_goes_from_one_process_to_the_next(folder: Path, open_store: OpenStore) -> None:
    """One closes, the next opens, and finds that it was closed properly."""
    with holder(folder) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert "released\n" == process.stdout.readline()
        store = open_store()

        assert store.was_clean
        assert 1 == store.commit([Change(type="note", key="a", value={})]).new


def test_killed_writer_frees_the_lock_and_leaves_no_clean_mark(folder: Path, open_store: OpenStore) -> None:
    """Death needs no unlocking, and the next writer learns of it once."""
    with holder(folder) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(DEADLINE_S)
        store = open_store()

        assert not store.was_clean
    store.close()
    assert open_store().was_clean


@pytest.mark.parametrize("what", ["fork", "exec"])
@pytest.mark.parametrize("end", ["release", "kill"])
def test_child_of_the_writer_holds_nothing(folder: Path, what: str, end: str) -> None:
    """A process that the writer forked or started, and that outlives it, keeps nobody from writing."""
    with holder(folder, what) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if end == "release":
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
        else:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(DEADLINE_S)
        lock = _acquired_soon(folder)

        assert lock.is_mine
        lock.release(clean=True)


def _acquired_soon(folder: Path) -> WriterLock:
    """A forked child needs a moment to forget the lock when its parent dies at once."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return WriterLock.acquire(folder)
        except WriterBusy:
            if time.monotonic() > deadline:
                raise


def test_forked_child_cannot_write_with_its_parents_store(open_store: OpenStore) -> None:
    """There is no writer thread in it: a write is refused instead of waiting for ever."""
    store = open_store()
    store.commit([Change(type="note", key="a", value={})])
    child = os.fork()
    if child == 0:
        try:
            store.commit([Change(type="note", key="b", value={})])
        except Broken:
            os._exit(7)
        os._exit(1)

    assert 7 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert 1 == store.commit([Change(type="note", key="b", value={})]).new


def test_release_twice_is_release_once(folder: Path) -> None:
    """The second release does nothing, also when another holds the lock by then."""
    first = WriterLock.acquire(folder)
    first.release(clean=True)
    second = WriterLock.acquire(folder)
    first.release(clean=True)

    assert not first.is_mine
    assert second.is_mine
    with pytest.raises(WriterBusy):
        WriterLock.acquire(folder)
    second.release(clean=True)


@pytest.mark.parametrize(
    ("content", "was_clean"),
    [(b"", True), (b"{", False), (b"\xff" * 300, False), (b'{"pid":1,"boot_id":"","clean":true}', True)],
)
def test_clean_is_what_the_file_says_and_garbage_says_no(folder: Path, content: bytes, was_clean: bool) -> None:
    """Only a proper close leaves the mark; a file that was never held has nothing to say against it."""
    (folder / "store.lock").write_bytes(content)
    lock = WriterLock.acquire(folder)

    assert was_clean == lock.was_clean
    lock.release(clean=True)


def test_lock_file_keeps_its_size(folder: Path) -> None:
    """It is written in place, so that a full disk cannot keep the clean mark out."""
    lock = WriterLock.acquire(folder)
    sizes = [(folder / "store.lock").stat().st_size]
    lock.release(clean=True)
    sizes.append((folder / "store.lock").stat().st_size)

    assert [LOCK_BYTES, LOCK_BYTES] == sizes
    assert {"pid", "boot_id", "clean", "origin_epoch"} == set(json.loads((folder / "store.lock").read_text()))


def test_lock_is_no_link_pipe_or_folder(folder: Path, tmp_path: Path) -> None:
    """What stands in the lock's place is never written through."""
    path = folder / "store.lock"
    target = tmp_path / "target"
    target.write_text("kept")
    path.symlink_to(target)
    with pytest.raises(FileDamaged):
        WriterLock.acquire(folder)
    assert holder_of(folder) is None
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FileDamaged):
        WriterLock.acquire(folder)
    assert holder_of(folder) is None
    path.unlink()
    path.mkdir()
    with pytest.raises(FileDamaged):
        WriterLock.acquire(folder)

    assert "kept" == target.read_text()


def test_failed_open_keeps_the_clean_mark_as_it_was(folder: Path, open_store: OpenStore, clock: ManualClock) -> None:
    """A writer that never touched the database says nothing about it."""
    store = open_store()
    store.close()
    good = (folder / "store.db").read_bytes()
    (folder / "store.db").write_bytes(b"x" * 4096)
    with pytest.raises(FileDamaged):
        open_store()
    (folder / "store.db").write_bytes(good)

    with Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock) as again:
        assert again.was_clean


def test_who_only_asks_takes_nothing(folder: Path) -> None:
    """Whether somebody writes is known without becoming the one who does, or the last who did."""
    free = is_held(folder)
    lock = WriterLock.acquire(folder)
    held = is_held(folder)
    lock.release(clean=False)
    last = holder_of(folder)

    assert (False, True, False) == (free, held, is_held(folder))
    assert last is not None and not last.clean

"""Files are named by what they hold, whole or absent, and read beneath their folder alone."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from core.model.clock import SystemClock
from core.model.errors import BadRequest, BodyTooLarge, FileDamaged, FilesFull, NotFound
from core.store import Files, Origin, Store
from core.store.binaries.files import CHUNK_BYTES, FileTotals
from tests.store.conftest import OpenStore

CONTENT = random.Random(1).randbytes(CHUNK_BYTES + 1000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def files(folder: Path) -> Files:
    """The files of a service that has none yet."""
    return Files(folder)


def read(files: Files, digest: str, *, start: int = 0, length: int | None = None) -> bytes:
    """The bytes of a file or of a part of it."""
    with files.open_file(digest, start=start, length=length) as part:
        return b"".join(part)


def test_file_is_kept_under_its_digest(files: Files, folder: Path) -> None:
    """It is read back whole, and stands where its content says, for the owner alone."""
    assert DIGEST == files.put_file(io.BytesIO(CONTENT))

    path = folder / "files" / DIGEST[:2] / DIGEST[2:]
    assert CONTENT == path.read_bytes() == read(files, DIGEST)
    assert (0o600, 0o700) == (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777)
    assert (True, len(CONTENT)) == (files.exists(DIGEST), files.size(DIGEST))


def test_what_the_disk_does_not_give_is_damage(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told by its name, and hides none of the other files."""
    files.put_file(io.BytesIO(CONTENT))
    files.put_file(io.BytesIO(b"small"))
    read_bytes = os.read

    def failing(handle: int, size: int) -> bytes:
        if os.fstat(handle).st_size == len(CONTENT):
            raise OSError(errno.EIO, "Input/output error")
        return read_bytes(handle, size)

    monkeypatch.setattr("os.read", failing)
    with pytest.raises(FileDamaged, match=f"{DIGEST} cannot be read: Input/output error"):
        read(files, DIGEST)
    found = files.verify_files(wait=lambda _: None)

    assert (1, (DIGEST,)) == (found.files, found.damaged)


def test_a_folder_that_cannot_be_looked_into_is_damage(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are neither whole nor missing: whoever wants to know is told, with what may help."""
    files.put_file(io.BytesIO(CONTENT))

    def refusing(_handle: int) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("os.listdir", refusing)
    with pytest.raises(FileDamaged, match="cannot be looked into: Permission denied"):
        files.verify_files(wait=lambda _: None)
    files.clear_unfinished()


def test_same_content_is_kept_once(files: Files, folder: Path) -> None:
    """Two enclosures with one content are one file."""
    files.put_file(io.BytesIO(CONTENT))
    files.put_file(io.BytesIO(CONTENT))

    assert [folder / "files" / DIGEST[:2] / DIGEST[2:]] == [p for p in (folder / "files").rglob("*") if p.is_file()]


def test_empty_file_is_a_file(files: Files) -> None:
    """Nothing has a digest too."""
    digest = files.put_file(io.BytesIO(b""))

    assert (hashlib.sha256(b"").hexdigest(), b"", 0) == (digest, read(files, digest), files.size(digest))


@pytest.mark.parametrize(
    ("start", "length"), [(0, 1), (5, 10), (CHUNK_BYTES - 1, 2), (len(CONTENT) - 1, 5), (len(CONTENT), 1), (7, None)]
)
def test_range_is_read_as_far_as_the_file_goes(files: Files, start: int, length: int | None) -> None:
    """A part knows its place and the size of the whole."""
    files.put_file(io.BytesIO(CONTENT))
    expected = CONTENT[start:] if length is None else CONTENT[start : start + length]

    with files.open_file(DIGEST, start=start, length=length) as part:
        assert (len(CONTENT), start, len(expected)) == (part.size, part.start, part.length)
        assert expected == b"".join(part)


@pytest.mark.parametrize(("start", "length"), [(-1, 1), (len(CONTENT) + 1, 1), (0, -1)])
def test_range_outside_the_file_is_refused(files: Files, start: int, length: int) -> None:
    """A range that begins nowhere is the caller's fault."""
    files.put_file(io.BytesIO(CONTENT))

    with pytest.raises(BadRequest):
        files.open_file(DIGEST, start=start, length=length)


@pytest.mark.parametrize("digest", [DIGEST, DIGEST.upper(), "", "..", "../" * 21 + "x", "a" * 63, "é" * 64])
def test_what_is_not_here_is_not_found(files: Files, digest: str) -> None:
    """Neither a missing file nor a name that leads elsewhere."""
    assert not files.exists(digest)
    with pytest.raises(NotFound):
        files.open_file(digest)


def test_file_at_its_bound_is_kept_and_one_byte_more_is_not(files: Files, folder: Path) -> None:
    """Nothing is left of what was too large."""
    assert DIGEST == files.put_file(io.BytesIO(CONTENT), bytes_max=len(CONTENT))
    with pytest.raises(BodyTooLarge):
        files.put_file(io.BytesIO(CONTENT + b"x"), bytes_max=len(CONTENT))

    assert [] == list((folder / "files" / "unfinished").iterdir())


def test_source_that_fails_leaves_nothing(files: Files, folder: Path) -> None:
    """A download that breaks off keeps no half a file."""

    class Broken:
        def read(self, size: int, /) -> bytes:
            if self.__dict__.setdefault("read_once", False):
                raise ConnectionError("the line is cut")
            self.__dict__["read_once"] = True
            return b"half"

    with pytest.raises(ConnectionError):
        files.put_file(Broken())

    assert [] == [path for path in (folder / "files").rglob("*") if path.is_file()]


def test_shorter_file_is_damage(files: Files, folder: Path) -> None:
    """A file that lost its end while it was open is never passed on as whole."""
    files.put_file(io.BytesIO(CONTENT))
    with files.open_file(DIGEST) as part:
        os.truncate(folder / "files" / DIGEST[:2] / DIGEST[2:], 1000)

        with pytest.raises(FileDamaged, match="early"):
            b"".join(part)


def test_changed_file_is_damage(files: Files, folder: Path) -> None:
    """Read whole, a file proves what it holds; the last chunk is held back until it did."""
    files.put_file(io.BytesIO(CONTENT))
    path = folder / "files" / DIGEST[:2] / DIGEST[2:]
    path.write_bytes(b"x" + CONTENT[1:])

    with pytest.raises(FileDamaged, match="what its name says"), files.open_file(DIGEST) as part:
        received = 0
        for chunk in part:
            received += len(chunk)
    assert received < len(CONTENT)


def test_damage_that_there_is_no_room_to_mend_is_told(folder: Path) -> None:
    """That a file of this name and size stands there does not say that it is kept."""
    files = Files(folder, bytes_max=len(CONTENT))
    files.put_file(io.BytesIO(CONTENT))
    (folder / "files" / DIGEST[:2] / DIGEST[2:]).write_bytes(b"x" + CONTENT[1:])

    with pytest.raises(FilesFull, match=f"no room for {len(CONTENT)} more"):
        files.put_file(io.BytesIO(CONTENT))


@pytest.mark.parametrize("step", ["files", "shelf", "file"])
def test_link_on_the_way_is_refused(files: Files, folder: Path, tmp_path: Path, step: str) -> None:
    """A child owns its folder, and what it links to stays unread."""
    files.put_file(io.BytesIO(CONTENT))
    path = {
        "files": folder / "files",
        "shelf": folder / "files" / DIGEST[:2],
        "file": folder / "files" / DIGEST[:2] / DIGEST[2:],
    }[step]
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)

    with pytest.raises(FileDamaged):
        files.open_file(DIGEST)
    if step == "files":
        with pytest.raises(FileDamaged):
            files.put_file(io.BytesIO(b"new"))


def test_pipe_in_place_of_a_file_is_refused_at_once(files: Files, folder: Path) -> None:
    """Opening a pipe to read would wait for a writer that never comes."""
    (folder / "files" / DIGEST[:2]).mkdir(parents=True)
    os.mkfifo(folder / "files" / DIGEST[:2] / DIGEST[2:])

    with pytest.raises(FileDamaged):
        files.open_file(DIGEST)


def test_next_writer_clears_what_a_killed_one_began(open_store: OpenStore, folder: Path) -> None:
    """A file begun and never finished is gone when the store is opened again."""
    program = (
        "import os, sys; from pathlib import Path; from core.store import Files\n"
        "class Dying:\n"
        "    def read(self, size, /):\n"
        "        if self.__dict__.get('once'): os.kill(os.getpid(), 9)\n"
        "        self.once = True; return b'half'\n"
        "Files(Path(sys.argv[1])).put_file(Dying())\n"
    )
    assert -9 == subprocess.run([sys.executable, "-c", program, str(folder)], check=False).returncode
    assert 1 == len(list((folder / "files" / "unfinished").iterdir()))

    store = open_store()

    assert [] == list((folder / "files" / "unfinished").iterdir())
    assert DIGEST == store.files.put_file(io.BytesIO(CONTENT))


def test_totals_follow_what_comes_and_goes(files: Files, folder: Path) -> None:
    """They are counted once and added up from then on; who only looks may count again."""
    assert FileTotals(0, 0) == files.totals()
    other = Files(folder)
    other.totals()

    files.put_file(io.BytesIO(CONTENT))
    files.put_file(io.BytesIO(CONTENT))
    small = files.put_file(io.BytesIO(b"small"))
    assert FileTotals(2, len(CONTENT) + 5) == files.totals() == other.recount()

    assert FileTotals(1, 5) == files.remove([small, "0" * 64], put_before=float("inf"))
    assert FileTotals(1, len(CONTENT)) == files.totals() == Files(folder).totals()


def test_files_at_their_limit_are_kept_and_one_byte_more_is_not(folder: Path) -> None:
    """The refusal names the limit and the cure; nothing is left of what had no room."""
    files = Files(folder, bytes_max=len(CONTENT) + 5)
    files.put_file(io.BytesIO(CONTENT))
    files.put_file(io.BytesIO(b"12345"))

    with pytest.raises(FilesFull, match=f"may have {len(CONTENT) + 5}") as caught:
        files.put_file(io.BytesIO(b"6"))

    assert "limits.files_mb" in caught.value.remedy
    assert FileTotals(2, len(CONTENT) + 5) == files.totals() == files.recount()
    assert [] == list((folder / "files" / "unfinished").iterdir())


def test_what_is_here_already_needs_no_room(folder: Path) -> None:
    """The same content again is no more bytes; it counts as put now."""
    files = Files(folder, bytes_max=len(CONTENT))
    path = folder / "files" / DIGEST[:2] / DIGEST[2:]
    files.put_file(io.BytesIO(CONTENT))
    os.utime(path, (1, 1))

    assert DIGEST == files.put_file(io.BytesIO(CONTENT))

    assert path.stat().st_mtime > 1
    assert FileTotals(1, len(CONTENT)) == files.totals()


def test_lowered_limit_lets_be_what_is_there(folder: Path) -> None:
    """It is read as before; only more is refused."""
    Files(folder).put_file(io.BytesIO(CONTENT))
    files = Files(folder, bytes_max=10)

    with pytest.raises(FilesFull):
        files.put_file(io.BytesIO(b"x"))

    assert CONTENT == read(files, DIGEST)


def test_many_at_once_keep_the_limit_together(folder: Path) -> None:
    """However they come, the files have no more bytes than they may, and the sum is right."""
    files = Files(folder, bytes_max=1000)

    def put(number: int) -> bool:
        try:
            files.put_file(io.BytesIO(b"%03d" % (number % 40) * 10))
        except FilesFull:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put, range(120)))

    assert 33 == files.totals().files
    assert Files(folder).totals() == files.totals()


def test_putting_again_mends_a_damaged_file(files: Files, folder: Path) -> None:
    """What is put is whole afterwards, whatever stood there."""
    files.put_file(io.BytesIO(CONTENT))
    (folder / "files" / DIGEST[:2] / DIGEST[2:]).write_bytes(b"gone")

    files.put_file(io.BytesIO(CONTENT))

    assert CONTENT == read(files, DIGEST)
    assert FileTotals(1, len(CONTENT)) == files.recount()


def test_every_file_is_verified(files: Files, folder: Path) -> None:
    """Changed, cut and foreign ones are named, the others counted; most of the time it lets others work."""
    good = files.put_file(io.BytesIO(b"good"))
    changed, cut = (files.put_file(io.BytesIO(content)) for content in (b"changed", CONTENT))
    (folder / "files" / changed[:2] / changed[2:]).write_bytes(b"CHANGED")
    os.truncate(folder / "files" / cut[:2] / cut[2:], 10)
    (folder / "files" / good[:2] / "notes.txt").write_text("no file of ours")
    (folder / "files" / "README").write_text("nor this")
    waited: list[float] = []

    found = files.verify_files(wait=waited.append)

    assert (1, 4, 3) == (found.files, found.bytes, found.damaged_count)
    assert sorted([changed, cut, f"{good[:2]}notes.txt"]) == sorted(found.damaged)
    assert all(pause >= 0 for pause in waited)


def test_file_is_flushed_before_it_has_its_name(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its content first, then the name, then the folders: nobody is told a digest that a power cut could take."""
    done: list[str] = []
    flush, rename = os.fsync, os.rename

    def told_flush(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        flush(handle)

    def told_rename(*args: Any, **named: Any) -> None:
        done.append("name")
        rename(*args, **named)

    monkeypatch.setattr(os, "fsync", told_flush)
    monkeypatch.setattr(os, "rename", told_rename)

    files.put_file(io.BytesIO(CONTENT))
    files.put_file(io.BytesIO(CONTENT + b"x"))

    named = [number for number, what in enumerate(done) if what == "name"]
    assert 2 == len(named)
    for place in named:
        assert ("file", "folder") == (next(one for one in reversed(done[:place]) if one == "file"), done[place + 1])


def test_killed_writer_named_no_file_that_is_not_there(folder: Path) -> None:
    """Deaths between putting files and naming them: every digest in a fact is that of a whole file."""
    program = (
        "import io, os, sys; from pathlib import Path\n"
        "from core.model.clock import SystemClock; from core.model.fact import Change\n"
        "from core.store import Origin, Store\n"
        "store = Store.open(Path(sys.argv[1]), types={}, origin=Origin('d/u', 1), clock=SystemClock())\n"
        "os.write(1, b'x')\n"
        "for n in range(store.head(), 10**9):\n"
        "    digest = store.files.put_file(io.BytesIO(os.urandom(1000 + n)))\n"
        "    store.commit([Change(type='f', key=str(n), value={'file': digest})], bulk=False)\n"
    )
    dice = random.Random(3)
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.read(1)
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(dice.random() * 0.2)
        writer.kill()
        writer.communicate()

    with Store.open(folder, types={}, origin=Origin("d/u", 1), clock=SystemClock()) as store:
        named = [store.files.size(fact.value["file"]) for fact in store.facts(0, limit=1000)]
        assert named
        assert 0 == store.files.verify_files(wait=lambda _: None).damaged_count

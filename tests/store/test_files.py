"""Files are named by what they hold, whole or absent, and read beneath their folder alone."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from core.model.errors import BadRequest, BodyTooLarge, FileDamaged, NotFound
from core.store import Files
from core.store.files import CHUNK_BYTES
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

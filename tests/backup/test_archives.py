"""Archives: what goes in comes out, whole or not at all, and nothing hostile gets out of its folder."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.backup.archive import CONTENTS, NAME_CHARS_MAX, Contents, checked_name, lines_of
from core.backup.packing import FILE_MODE, form_of, packed, scratch
from core.backup.unpacking import LINE_BYTES_MAX, RATIO_MAX, check_archive, is_archive, items, text_of
from core.model.errors import BodyTooLarge, Conflict, FileDamaged, FolderUnusable, LockerError, NotFound, StorageFull
from tests.store.disks import small_disk

NAMES = ["a.tar", "a.tar.gz", "a.zip", "a"]
FILES = {
    "service.json": b"{}",
    "files/ab/cd": os.urandom(3000),
    "deep/er/empty": b"",
    "caf\u00e9 \u732b.jsonl": b"x\n" * 300,
}


def pack(target: Path, files: dict[str, bytes]) -> Path:
    """An archive of these files."""
    with scratch(target) as beside, packed(target, beside, form=form_of(target)) as sink:
        for name, content in files.items():
            sink.add(name, [content[:7], content[7:]], size=len(content))
    return target


def read(archive: Path, **options: int) -> dict[str, bytes]:
    """Every file of an archive."""
    return {item.name: text_of(item) for item in items(archive, **options)}


@pytest.mark.parametrize("name", NAMES)
def test_what_goes_in_comes_out(tmp_path: Path, name: str) -> None:
    """In every form, the contents last, private, and with nothing left beside it."""
    archive = pack(tmp_path / name, FILES)

    found = read(archive)

    assert FILES == {name: content for name, content in found.items() if name != CONTENTS}
    assert CONTENTS == list(found)[-1]
    assert [] == check_archive(archive)
    assert [archive] == list(tmp_path.iterdir())
    first = archive if archive.is_file() else archive / "service.json"
    assert FILE_MODE == first.stat().st_mode & 0o777


@pytest.mark.parametrize("name", NAMES[:3])
def test_ordinary_tools_unpack_it(tmp_path: Path, name: str) -> None:
    """Python's own readers stand for them."""
    archive = pack(tmp_path / name, FILES)
    if name.endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            assert FILES["files/ab/cd"] == opened.read("files/ab/cd")
    else:
        with tarfile.open(archive) as opened_tar:
            assert FILES["files/ab/cd"] == opened_tar.extractfile("files/ab/cd").read()  # type: ignore[union-attr]


def test_a_large_name_and_a_large_file_survive(tmp_path: Path) -> None:
    """A name longer than an old tar's hundred letters, and more bytes than one piece."""
    files = {"/".join(["n" * 90] * 5): os.urandom(700_000)}

    assert files == {k: v for k, v in read(pack(tmp_path / "a.tar", files)).items() if k != CONTENTS}


def test_what_gnu_tar_packs_is_read(tmp_path: Path) -> None:
    """An export that somebody unpacked and packed again, folders and long names included."""
    folder = pack(tmp_path / "a", {"x" * 150: b"1", "f/y": b"2"})
    with tarfile.open(tmp_path / "again.tar", "w", format=tarfile.GNU_FORMAT) as again:
        for path in sorted(folder.rglob("*"), key=lambda path: (path.name == CONTENTS, str(path))):
            again.add(path, arcname=str(path.relative_to(folder)), recursive=False)

    assert [] == check_archive(tmp_path / "again.tar")


@pytest.mark.parametrize("name", NAMES[:3])
def test_an_archive_cut_anywhere_is_told(tmp_path: Path, name: str) -> None:
    """At every length it is whole, or reported: never taken for less than it was."""
    whole = pack(tmp_path / name, {"a": b"1", "b/c": b"22"}).read_bytes()
    told = 0
    for length in range(0, len(whole), 1 if len(whole) < 3000 else 3):
        cut = tmp_path / f"cut{length}"
        cut.write_bytes(whole[:length])
        try:
            faults = check_archive(cut)
        except LockerError:
            faults = ["told"]
        told += bool(faults)
        if not faults:
            assert {"a", "b/c"} <= set(read(cut))
        cut.unlink()

    assert told >= len(whole.rstrip(b"\0")) // 4


@pytest.mark.parametrize("name", ["a.tar", "a"])
def test_changed_missing_and_added_files_are_told(tmp_path: Path, name: str) -> None:
    """Each by its name."""
    folder = pack(tmp_path / "a", {"one": b"1", "two": b"2", "three": b"3"})
    (folder / "one").write_bytes(b"I")
    (folder / "two").unlink()
    (folder / "four").write_bytes(b"4")

    assert ["one is not what it was", "two is missing", "four was added"] == check_archive(folder)


@pytest.mark.parametrize(
    "name", ["", "/a", "../a", "a/../b", "a//b", "./a", "a\\b", "a\nb", "c:/x", "x" * 1001, "\udc80"]
)
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    """Absolute, upwards, doubled, controls, other systems' ways, or too long."""
    with pytest.raises(FileDamaged):
        checked_name(name)


def test_a_name_at_the_limit_is_one() -> None:
    """A thousand letters pass, dots within a name too."""
    assert "x" * NAME_CHARS_MAX == checked_name("x" * NAME_CHARS_MAX)
    assert "..a/b..c/.d" == checked_name("..a/b..c/.d")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_nothing_but_plain_files_is_read_from_a_tar(tmp_path: Path, kind: bytes) -> None:
    """No links, no pipes, no devices."""
    entry = tarfile.TarInfo("a")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(entry)

    with pytest.raises(FileDamaged, match="no plain file"):
        read(tmp_path / "a.tar")


def test_no_link_is_read_from_a_zip_or_a_folder(tmp_path: Path) -> None:
    """A zip can hold links as other systems see them; a folder can have anything in it."""
    entry = zipfile.ZipInfo("a")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "a").symlink_to("/etc/passwd")

    for place in (tmp_path / "a.zip", folder):
        with pytest.raises(FileDamaged):
            read(place)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """Zeros that were packed to a thousandth are refused before they fill anything, in both packed forms."""
    size = 400 * 1024 * 1024
    entry = tarfile.TarInfo("zeros")
    entry.size = size
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as file:
        file.write(entry.tobuf())
        for _ in range(size // (4 * 1024 * 1024)):
            file.write(bytes(4 * 1024 * 1024))
    packed_zip = zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with packed_zip as archive, archive.open("zeros", "w") as inside:
        for _ in range(size // (4 * 1024 * 1024)):
            inside.write(bytes(4 * 1024 * 1024))

    for name in ("a.tar.gz", "a.zip"):
        with pytest.raises(BodyTooLarge):
            for item in items(tmp_path / name, ratio_max=RATIO_MAX):
                for _ in item:
                    pass


def test_no_more_is_read_than_there_is_room_for(tmp_path: Path) -> None:
    """The bound counts what comes out: at it all is well, one byte above it is refused."""
    archive = pack(tmp_path / "a.tar", {"a": b"x" * 100})
    size = sum(len(content) for content in read(archive).values())

    assert 2 == len(read(archive, bytes_max=size))
    with pytest.raises(BodyTooLarge):
        read(archive, bytes_max=size - 1)


def test_a_header_cannot_ask_for_memory(tmp_path: Path) -> None:
    """An extended header of gigabytes is refused unread."""
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.XHDTYPE, 2**33 - 1
    (tmp_path / "a.tar").write_bytes(entry.tobuf() + bytes(4096))

    with pytest.raises(FileDamaged):
        read(tmp_path / "a.tar")


@pytest.mark.parametrize("size", [-1, -600])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE])
def test_a_size_below_zero_is_no_size(tmp_path: Path, size: int, kind: bytes) -> None:
    """Some tars can write one; to read "-1 bytes" would be to read all there is, however much that unpacks to."""
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = kind, size
    (tmp_path / "a.tar").write_bytes(entry.tobuf(format=tarfile.GNU_FORMAT) + bytes(4096))

    with pytest.raises(FileDamaged, match="header"):
        read(tmp_path / "a.tar")


@pytest.mark.parametrize("way", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_packed_in_a_rare_way_is_refused(tmp_path: Path, way: int) -> None:
    """Such ways may ask for gigabytes of memory first, and tell of damage in words of their own."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", way) as archive:
        archive.writestr("a", b"x" * 100)

    with pytest.raises(FileDamaged, match="does not unpack"):
        read(tmp_path / "a.zip")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(noise=st.binary(max_size=1500), place=st.integers(0, 3000))
def test_noise_is_an_error_of_ours(tmp_path: Path, noise: bytes, place: int) -> None:
    """Whatever stands in the file, nothing but our own errors comes of it."""
    good = pack(tmp_path / "good.tar", {"a": b"1"}) if not (tmp_path / "good.tar").exists() else tmp_path / "good.tar"
    bad = tmp_path / "bad"
    whole = good.read_bytes()
    bad.write_bytes(whole[:place] + noise + whole[place + len(noise) :])
    try:
        check_archive(bad)
        is_archive(bad)
    except LockerError:
        pass


def test_a_name_that_is_taken_is_not_overwritten(tmp_path: Path) -> None:
    """What stands there stays as it is, and nothing is left beside it."""
    (tmp_path / "a.tar").write_text("precious")

    with pytest.raises(Conflict):
        pack(tmp_path / "a.tar", FILES)

    assert "precious" == (tmp_path / "a.tar").read_text()
    assert [tmp_path / "a.tar"] == list(tmp_path.iterdir())


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    """Neither half an archive nor its beginnings, whatever went wrong in the middle."""
    target = tmp_path / "a.tar"
    with pytest.raises(FileDamaged), scratch(target) as beside, packed(target, beside, form="tar") as sink:
        sink.add("a", [b"four"], size=5)

    assert [] == list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The owner hears of it in words."""
    with pytest.raises(FolderUnusable):
        pack(tmp_path / "none" / "a.tar", FILES)
    with pytest.raises(NotFound):
        read(tmp_path / "none.tar")


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    """The scratch folder of a process that is no more goes, or had our number; that of one that lives stays."""
    dead, alive = tmp_path / ".a.tar.999999999.unfinished", tmp_path / ".a.tar.1.unfinished"
    before_us = tmp_path / f".a.tar.{os.getpid()}.unfinished"
    for left in (dead, alive, before_us):
        left.mkdir()

    pack(tmp_path / "a.tar", FILES)

    assert [alive, tmp_path / "a.tar"] == sorted(tmp_path.iterdir())


def test_a_full_disk_is_told_and_leaves_no_trace(tmp_path: Path) -> None:
    """On a disk that is too small, the name stays free; with room, the same call works."""
    with small_disk(tmp_path / "disk", size_bytes=1024 * 1024) as disk:
        with pytest.raises(StorageFull):
            pack(disk / "a.tar", {"a": os.urandom(2 * 1024 * 1024)})
        assert [] == list(disk.iterdir())
        assert [] == check_archive(pack(disk / "a.tar", {"a": os.urandom(300_000)}))


def test_one_name_twice_is_refused() -> None:
    """The second could hide the first."""
    contents = Contents()
    list(contents.watched("a", [b"1"], size=1))

    with pytest.raises(FileDamaged):
        list(contents.watched("a", [b"2"], size=1))


def test_lines_have_a_bound() -> None:
    """At the limit a line passes, one byte more is refused; the last one needs no end."""
    assert [b"a", b"", b"bc"] == list(lines_of([b"a\n\nb", b"c"], line_bytes_max=10))
    assert [b"x" * LINE_BYTES_MAX] == list(lines_of([b"x" * LINE_BYTES_MAX], line_bytes_max=LINE_BYTES_MAX))
    with pytest.raises(BodyTooLarge):
        list(lines_of([b"x" * (LINE_BYTES_MAX + 1)], line_bytes_max=LINE_BYTES_MAX))


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_a_line_that_is_too_long_is_passed_over(size: int) -> None:
    """Wherever the pieces end; those before and behind it are read, and it is told once."""
    told: list[int] = []
    text = b"one\n" + b"x" * 40 + b"\ntwo\n\nthree"
    chunks = [text[start : start + size] for start in range(0, len(text), size)]

    lines = list(lines_of(chunks, line_bytes_max=10, passed_over=lambda: told.append(1)))

    assert [b"one", b"two", b"", b"three"] == lines
    assert [1] == told


def test_a_long_line_is_not_copied_for_every_piece_of_it() -> None:
    """A line of eight thousand pieces costs what it is long, within its bound and beyond."""
    pieces = [b"x" * 1024] * 8192
    begun = time.process_time()

    assert [8192 * 1024, 1] == [len(line) for line in lines_of([*pieces, b"\ny"], line_bytes_max=2**24)]
    assert [b"y"] == list(lines_of([*pieces, b"\ny"], line_bytes_max=2**22, passed_over=lambda: None))

    assert time.process_time() - begun < 2


def test_an_archive_is_known_by_its_beginning(tmp_path: Path) -> None:
    """Also without a name that says so."""
    for name in NAMES[:3]:
        assert is_archive(pack(tmp_path / name, FILES))
    (tmp_path / "log").write_bytes(io.BytesIO(b"\x00\x00\x00\x02{}").getvalue())
    assert not is_archive(tmp_path / "log")

"""Following a file that grows and is rotated."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from core.web.file_tail import BYTES_READ_MAX, FileTail


def write(path: Path, text: str) -> None:
    """Append, as the core does."""
    with path.open("ab") as file:
        file.write(text.encode())


def test_it_begins_with_the_last_lines_and_goes_on(tmp_path: Path) -> None:
    """Neither gap nor repetition; an unfinished line waits for its end."""
    path = tmp_path / "a.log"
    write(path, "one\ntwo\nthree\n")
    tail = FileTail(path)
    began = tail.start(2)
    write(path, "four\nfi")
    first = tail.more()
    write(path, "ve\n")
    second, third = tail.more(), tail.more()
    tail.close()

    assert [["two", "three"], ["four"], ["five"], []] == [began, first, second, third]


def test_a_file_that_comes_later(tmp_path: Path) -> None:
    """A service that never wrote has no file yet."""
    path = tmp_path / "a.log"
    tail = FileTail(path)
    before = [tail.start(10), tail.more()]
    write(path, "one\n")
    after = tail.more()
    tail.close()

    assert ([[], []], ["one"]) == (before, after)


def test_rotation_loses_nothing(tmp_path: Path) -> None:
    """What was written to the old file before it was renamed comes first, then the new one from its beginning."""
    path = tmp_path / "a.log"
    write(path, "one\n")
    tail = FileTail(path)
    tail.start(10)
    write(path, "two\n")
    path.rename(tmp_path / "a.log.1")
    between = [tail.more(), tail.more()]
    write(path, "three\n")
    after = tail.more()
    tail.close()

    assert ([["two"], []], ["three"]) == (between, after)


def test_an_emptied_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    """By whoever emptied it."""
    path = tmp_path / "a.log"
    write(path, "a long line\n")
    tail = FileTail(path)
    tail.start(10)
    path.write_text("new\n")
    found = tail.more()
    tail.close()

    assert ["new"] == found


def test_a_large_file_is_read_from_near_its_end(tmp_path: Path) -> None:
    """Half a mebibyte at most, and no half line at its beginning."""
    path = tmp_path / "a.log"
    write(path, "".join(f"{number:09}\n" for number in range(BYTES_READ_MAX // 10 + 100)))
    tail = FileTail(path)
    found = tail.start(10**9)
    tail.close()

    assert (BYTES_READ_MAX // 10, f"{BYTES_READ_MAX // 10 + 99:09}") == (len(found), found[-1])
    assert {9} == {len(line) for line in found}


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """The name of a log leads to a log."""
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "a.log").symlink_to(tmp_path / "secret")
    tail = FileTail(tmp_path / "a.log")

    assert ([], []) == (list(tail.start(10)), list(tail.more()))


@given(st.lists(st.one_of(st.text(alphabet="ab\n", max_size=12), st.none()), max_size=30))
def test_whatever_is_written_is_read_in_order(tmp_path_factory: object, steps: list[str | None]) -> None:
    """In any pieces, with a rotation wherever a whole line ended."""
    path = tmp_path_factory.mktemp("tail") / "a.log"  # type: ignore[attr-defined]
    tail, written, found = FileTail(path), "", []
    tail.start(1)
    for number, step in enumerate(steps):
        if step is not None:
            write(path, step)
            written += step
        elif path.exists() and written.endswith("\n"):
            found += [*tail.more(), *tail.more()]
            path.rename(path.with_name(f"a.log.{number}"))
        found += tail.more()
    found += [*tail.more(), *tail.more()]
    tail.close()

    assert written.split("\n")[:-1] == found

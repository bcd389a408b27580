"""What a person changed is never torn: atomic changes, damage set aside loudly, the last good version used."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tinydb import where

from core.model.clock import ManualClock
from core.model.errors import BodyTooLarge, FileDamaged, FolderUnusable, StorageFull
from core.store import Documents, documents, durable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the documents lie."""
    return tmp_path / "locker.json"


def services(path: Path, clock: ManualClock) -> list[Any]:
    """What a fresh start finds."""
    return [dict(document) for document in Documents(path, clock).table("services").all()]


def test_change_is_found_after_a_restart(path: Path, clock: ManualClock) -> None:
    """Insert, update, upsert and remove are all kept."""
    table = Documents(path, clock).table("services")
    table.insert({"id": "a"})
    table.insert_multiple([{"id": "b"}, {"id": "c"}])
    table.update({"enabled": True}, where("id") == "a")
    table.upsert({"id": "d", "n": 1}, where("id") == "d")
    table.remove(where("id") == "b")

    expected = [{"enabled": True, "id": "a"}, {"id": "c"}, {"id": "d", "n": 1}]
    assert expected == services(path, clock)
    assert Documents(path, clock).notice is None


def test_opening_makes_no_file(path: Path, clock: ManualClock) -> None:
    """A Me without any change has none."""
    documents_ = Documents(path, clock)

    assert ([], None) == (documents_.table("services").all(), documents_.notice)
    assert [] == list(path.parent.iterdir())


def test_file_is_readable_sorted_and_private(path: Path, clock: ManualClock) -> None:
    """Two versions can be compared by eye; nobody else may read them."""
    table = Documents(path, clock).table("services")
    table.insert_multiple({"n": number, "id": f"é{number}"} for number in range(11))
    text = path.read_text()

    assert ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"] == list(json.loads(text)["services"])
    assert '{\n  "services": {\n    "1": {\n      "id": "é0",\n      "n": 0\n    },' in text
    assert {0o600} == {found.stat().st_mode & 0o777 for found in path.parent.iterdir()}


def test_what_a_caller_does_to_an_answer_changes_nothing(path: Path, clock: ManualClock) -> None:
    """Answers are copies, searches too."""
    table = Documents(path, clock).table("services")
    table.insert({"id": "a", "settings": {"url": "x"}})
    for _ in range(2):
        table.search(where("id") == "a")[0]["settings"]["url"] = "changed"
        table.all()[0]["settings"]["url"] = "changed"

    assert [{"id": "a", "settings": {"url": "x"}}] == table.search(where("id") == "a")


def test_document_that_is_no_json_changes_nothing(path: Path, clock: ManualClock) -> None:
    """A fault of ours does not spoil the file."""
    table = Documents(path, clock).table("services")
    table.insert({"id": "a"})
    for bad in ({"x": object()}, {"x": float("nan")}):
        with pytest.raises((TypeError, ValueError)):
            table.insert(bad)

    assert [{"id": "a"}] == services(path, clock)
    assert [{"id": "a"}] == table.all()


def test_size_is_bounded(path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Just under the bound is written, just over is refused and changes nothing."""
    table = Documents(path, clock).table("services")
    table.insert({"text": ""})
    room = 1000 - path.stat().st_size
    monkeypatch.setattr(documents, "BYTES_MAX", 1000)

    table.update({"text": "x" * room})
    assert 1000 == path.stat().st_size
    with pytest.raises(BodyTooLarge):
        table.update({"text": "x" * (room + 1)})
    assert 1000 == path.stat().st_size
    assert room == len(table.all()[0]["text"])


DAMAGES = {
    "empty": b"",
    "truncated": b'{"services": {"1": {"id": "a"',
    "garbage": b"\xff\xfe\x00garbage",
    "two_documents": b'{"services": {}}{}',
    "no_object": b"[1, 2]",
    "no_tables": b'{"services": 7}',
    "no_documents": b'{"services": {"1": "a"}}',
    "deep": b'{"a":' * 5000,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_file_is_set_aside_and_the_backup_used(path: Path, clock: ManualClock, damage: bytes) -> None:
    """The version before the last change is back, the damaged file is kept, and the owner is told."""
    closed = Documents(path, clock)
    closed.table("services").insert({"id": "a"})
    closed.table("services").insert({"id": "b"})
    closed.close()
    path.write_bytes(damage)
    opened = Documents(path, clock)

    assert [{"id": "a"}] == opened.table("services").all()
    aside = path.with_name("locker.json.damaged-20231114T221320Z")
    assert damage == aside.read_bytes()
    assert isinstance(opened.notice, FileDamaged)
    assert aside.name in opened.notice.detail
    assert "the version before its last change is used" in opened.notice.detail
    assert ([{"id": "a"}], None) == (services(path, clock), Documents(path, clock).notice)


@pytest.mark.parametrize("backup", [None, b"", b"garbage"])
def test_damaged_file_without_a_good_backup_starts_empty(path: Path, clock: ManualClock, backup: bytes | None) -> None:
    """Nothing is overwritten, twice in the same second neither."""
    for number in range(2):
        path.write_bytes(b"damaged %d" % number)
        if backup is not None:
            path.with_name("locker.json.bak").write_bytes(backup)
        opened = Documents(path, clock)

        assert [] == opened.table("services").all()
        assert opened.notice is not None
        assert "it starts empty" in opened.notice.detail
    assert [b"damaged 0", b"damaged 1"] == sorted(found.read_bytes() for found in path.parent.glob("*.damaged-*"))


def test_missing_file_with_a_backup_is_told_and_restored(path: Path, clock: ManualClock) -> None:
    """A file that vanished is not taken for a first start."""
    closed = Documents(path, clock)
    closed.table("services").insert({"id": "a"})
    closed.table("services").insert({"id": "b"})
    closed.close()
    path.unlink()
    opened = Documents(path, clock)

    assert [{"id": "a"}] == opened.table("services").all()
    assert opened.notice is not None
    assert "is missing" in opened.notice.detail


EDITS = {"good": b'{"services": {"1": {"id": "edited"}}}', "broken": b'{"services": {"1": {"id": "edi', "empty": b""}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edit_while_open_is_set_aside_and_told(path: Path, clock: ManualClock, edit: bytes) -> None:
    """The next change goes on from what was answered; the edit stands beside and never becomes the backup."""
    opened = Documents(path, clock)
    table = opened.table("services")
    table.insert({"id": "a"})
    before = path.read_bytes()
    for number in ("", "-2"):
        path.write_bytes(edit)
        table.upsert({"id": "b"}, where("id") == "b")
        aside = path.with_name(f"locker.json.edited-20231114T221320Z{number}")

        assert edit == aside.read_bytes()
        assert before == path.with_name("locker.json.bak").read_bytes()
        assert opened.notice is not None
        assert f"is kept as {aside.name}" in opened.notice.detail
        assert "Stop Locker before you edit" in opened.notice.remedy
        before = path.read_bytes()
    assert [{"id": "a"}, {"id": "b"}] == services(path, clock)


def _written(path: Path, clock: ManualClock) -> Documents:
    """Documents after two changes, with an edit of the first version in their place."""
    opened = Documents(path, clock)
    opened.table("services").insert({"id": "a"})
    opened.table("services").insert({"id": "b"})
    return opened


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edit_before_a_clean_stop_is_set_aside_and_told_at_the_start(
    path: Path, clock: ManualClock, edit: bytes
) -> None:
    """A file that was opened in an editor before our changes and saved after them does not undo them in silence."""
    opened = _written(path, clock)
    before = path.read_bytes()
    path.write_bytes(edit)
    opened.close()

    aside = path.with_name("locker.json.edited-20231114T221320Z")
    assert (edit, before) == (aside.read_bytes(), path.read_bytes())
    again = Documents(path, clock)
    assert [{"id": "a"}, {"id": "b"}] == again.table("services").all()
    assert again.notice is not None
    assert f"is kept as {aside.name}" in again.notice.detail
    again.close()
    assert ([{"id": "a"}, {"id": "b"}], None) == (services(path, clock), Documents(path, clock).notice)


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edit_before_a_kill_is_set_aside_and_told(path: Path, clock: ManualClock, edit: bytes) -> None:
    """What was written last stands beside the file, since the edit may have been written over it."""
    _written(path, clock)
    path.write_bytes(edit)
    again = Documents(path, clock)

    assert [{"id": "a"}, {"id": "b"}] == again.table("services").all()
    assert again.notice is not None
    assert edit in [found.read_bytes() for found in path.parent.glob("locker.json.*-*")]
    assert path.read_bytes() == path.with_name("locker.json.last").read_bytes()


def test_edit_while_stopped_counts(path: Path, clock: ManualClock) -> None:
    """Nothing stands beside a closed file that could contradict it."""
    _written(path, clock).close()
    path.write_bytes(EDITS["good"])

    assert ([{"id": "edited"}], None) == (services(path, clock), Documents(path, clock).notice)
    assert {"locker.json", "locker.json.bak"} == {found.name for found in path.parent.iterdir()}


def test_edits_kept_are_bounded(path: Path, clock: ManualClock) -> None:
    """Ten of them, the youngest."""
    table = Documents(path, clock).table("services")
    for number in range(13):
        table.upsert({"id": "a", "n": number}, where("id") == "a")
        path.write_text(f'{{"edit": {{"1": {{"n": {number}}}}}}}')
    table.insert({"id": "b"})
    kept = [json.loads(found.read_text())["edit"]["1"]["n"] for found in path.parent.glob("*.edited-*")]

    assert [3, 4, 5, 6, 7, 8, 9, 10, 11, 12] == sorted(kept)


def test_change_that_fails_at_the_rename_leaves_a_backup_of_its_own(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit made in place afterwards does not write into the backup too; the change is not found later."""
    opened = _written(path, clock)
    original = durable.move_into_place

    def fails(finished: Path, target: Path) -> None:
        if target == path:
            raise OSError(errno.EIO, "input/output error")
        original(finished, target)

    with monkeypatch.context() as broken:
        broken.setattr(documents, "move_into_place", fails)
        with pytest.raises(FolderUnusable):
            opened.table("services").insert({"id": "c"})

    assert path.stat().st_ino != path.with_name("locker.json.bak").stat().st_ino
    path.write_bytes(b"garbage")
    assert [{"id": "a"}, {"id": "b"}] == services(path, clock)


def test_first_change_cut_short_is_no_damage(path: Path, clock: ManualClock) -> None:
    """Between the copy and the file itself nothing is missing."""
    Documents(path, clock).table("services").insert({"id": "a"})
    path.unlink()
    again = Documents(path, clock)

    assert ([{"id": "a"}], None) == (again.table("services").all(), again.notice)


def test_edit_after_a_damage_tells_both(path: Path, clock: ManualClock) -> None:
    """What the owner must know of the start is not hidden by what came later."""
    path.write_bytes(b"damaged")
    opened = Documents(path, clock)
    path.write_bytes(b"{}")
    opened.table("services").insert({"id": "a"})

    assert opened.notice is not None
    assert "it starts empty. " in opened.notice.detail
    assert "locker.json.edited-" in opened.notice.detail


def test_file_that_vanished_while_open_is_written_again(path: Path, clock: ManualClock) -> None:
    """Nothing is lost, and the backup is the version that vanished."""
    table = Documents(path, clock).table("services")
    table.insert({"id": "a"})
    before = path.read_bytes()
    path.unlink()
    table.insert({"id": "b"})

    assert [{"id": "a"}, {"id": "b"}] == services(path, clock)
    assert before == path.with_name("locker.json.bak").read_bytes()


def test_edit_is_no_state_of_ours_when_a_change_fails(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves the edit in its place and what was answered before as the answer."""
    table = Documents(path, clock).table("services")
    table.insert({"id": "a"})
    path.write_bytes(EDITS["broken"])
    with monkeypatch.context() as full:
        full.setattr(documents, "_write_flushed", _no_room)
        with pytest.raises(StorageFull):
            table.insert({"id": "b"})

    assert [{"id": "a"}] == table.all()
    assert EDITS["broken"] == path.read_bytes()
    table.insert({"id": "c"})
    assert [{"id": "a"}, {"id": "c"}] == services(path, clock)


def _no_room(_path: Path, _text: bytes) -> None:
    raise OSError(errno.ENOSPC, "no room")


def test_link_in_place_of_the_file_is_refused(path: Path, clock: ManualClock, tmp_path: Path) -> None:
    """It would be replaced by the first change, or lead outside."""
    target = tmp_path / "target.json"
    target.write_text("{}")
    path.symlink_to(target)

    with pytest.raises(FolderUnusable):
        Documents(path, clock)
    assert "{}" == target.read_text()


def test_file_that_cannot_be_read_or_written_is_reported(path: Path, clock: ManualClock) -> None:
    """A folder in its place, or a folder that is gone, is no reason to start empty."""
    path.with_name("locker.json.bak").symlink_to("elsewhere")
    with pytest.raises(FolderUnusable):
        Documents(path, clock)
    path.with_name("locker.json.bak").unlink()
    table = Documents(path.parent / "gone" / "locker.json", clock).table("services")
    with pytest.raises(FolderUnusable):
        table.insert({"id": "a"})

    assert [] == table.all()


def test_pipe_in_place_of_the_file_is_set_aside(path: Path, clock: ManualClock) -> None:
    """Opening it would wait for ever; it is no document."""
    os.mkfifo(path)

    assert Documents(path, clock).notice is not None


def test_threads_lose_no_change(path: Path, clock: ManualClock) -> None:
    """Inserts, updates and reads at the same time: each insert is there once, each id is given once."""
    opened = Documents(path, clock)
    table = opened.table("services")
    table.insert({"id": "count", "n": 0})
    wrong: list[Any] = []

    def work(name: int) -> None:
        for number in range(20):
            table.insert({"id": f"{name}-{number}"})
            table.upsert({"id": f"{name}-last", "n": number}, where("id") == f"{name}-last")
            with opened.lock:
                count = table.get(where("id") == "count")
                table.update({"n": count["n"] + 1}, where("id") == "count")  # type: ignore[index]
            if len(table.search(where("id") == f"{name}-last")) != 1:
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [] == wrong
    found = services(path, clock)
    assert {f"{name}-{number}" for name in range(4) for number in (*range(20), "last")} | {"count"} == {
        document["id"] for document in found
    }
    assert [80] == [document["n"] for document in found if document["id"] == "count"]
    assert 85 == len(found)


# Makes two changes and dies at the nth call that touches the disk.
DYING = """
import os, signal, sys
from pathlib import Path
import core.store.documents
from core.model.clock import ManualClock
from core.store import Documents

calls = int(sys.argv[2])

def counted(name):
    original = getattr(os, name)
    def call(*arguments, **named):
        global calls
        calls -= 1
        if calls == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)
    return call

table = Documents(Path(sys.argv[1]), ManualClock()).table("services")
if sys.argv[3:]:
    Path(sys.argv[1]).write_text(sys.argv[3])
for name in ("open", "fsync", "close", "link", "rename", "replace", "unlink", "stat"):
    setattr(os, name, counted(name))
table.insert({"id": "b"})
os.write(1, b"b")
table.insert({"id": "c"})
os.write(1, b"c")
os._exit(0)
"""


def test_atomic_write_kill_points(path: Path, clock: ManualClock) -> None:
    """Killed at each step of a change, the file is the version before or after it, never less than was answered."""
    ended = False
    died = 0
    for step in range(1, 200):
        for found in path.parent.iterdir():
            found.unlink()
        Documents(path, clock).table("services").insert({"id": "a"})
        process = subprocess.run([sys.executable, "-c", DYING, str(path), str(step)], capture_output=True, check=False)
        opened = Documents(path, clock)
        keys = "".join(document["id"] for document in opened.table("services").all())

        assert b"" == process.stderr
        assert keys.startswith("a" + process.stdout.decode())
        assert keys in ("a", "ab", "abc")
        assert opened.notice is None
        opened.table("services").insert({"id": "z"})
        assert [*keys, "z"] == [document["id"] for document in services(path, clock)]
        if process.returncode == 0:
            ended = True
            break
        assert -signal.SIGKILL == process.returncode
        died += 1

    assert ended
    assert died >= 12


@pytest.mark.parametrize("edit", [EDITS["good"], EDITS["broken"]], ids=["good", "broken"])
def test_edited_file_kill_points(path: Path, clock: ManualClock, edit: bytes) -> None:
    """Killed at each step of a change over an edit, the edit is kept, and so is a version of ours as the backup."""
    died = 0
    returncode = None
    while returncode != 0:
        assert died < 200
        for found in path.parent.iterdir():
            found.unlink()
        table = Documents(path, clock).table("services")
        table.insert({"id": "a"})
        table.insert({"id": "a2"})
        command = [sys.executable, "-c", DYING, str(path), str(died + 1), edit.decode()]
        process = subprocess.run(command, capture_output=True, check=False)
        backup = path.with_name("locker.json.bak").read_bytes()
        is_replaced = path.read_bytes() != edit
        keys = "".join(row["id"] for row in services(path, clock))

        assert b"Traceback" not in process.stderr
        assert b'"a"' in backup
        assert edit in [found.read_bytes() for found in path.parent.glob("locker.json*")]
        if is_replaced:
            assert keys in ("aa2b", "aa2bc")
        else:
            assert keys in ("aa2", "aa2b", "aa2bc")
        assert is_replaced or not process.stdout
        assert keys.endswith(process.stdout.decode()[-1:]) or keys == "aa2bc"
        returncode = process.returncode
        died += 1

    assert died > 15

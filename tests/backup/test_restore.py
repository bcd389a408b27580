"""A restore brings all back into an empty Me, as another incarnation at rest; and never half of it in silence."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from core.backup import check_awake, is_unfinished, restore, restore_notices, restored_in, still_there, take_over
from core.backup.packing import packed, scratch
from core.backup.restoring import STAGE, AskPassphrase, Restored
from core.backup.unpacking import items, text_of
from core.model.clock import ManualClock
from core.model.errors import (
    Conflict,
    FileDamaged,
    FormatTooNew,
    KeyMissing,
    LockerError,
    StorageFull,
    UserActionNeeded,
)
from core.model.fact import Change
from core.registry import Service, owner_epoch
from core.store import Documents
from core.vault import SealedFile, open_device, open_master_key
from tests.backup.conftest import FILE, PHRASE, SECRET, UIDS, open_store
from tests.backup.test_backup import save
from tests.store.disks import small_disk


def bring_back(archive: Path, me: Path, *, passphrase: AskPassphrase = lambda _attempt: PHRASE) -> Restored:
    """A restore."""
    return restore(archive, me, passphrase=passphrase, clock=ManualClock(1_800_000_000.0))


def answers_of(me: Path, *, epoch: int) -> dict[str, object]:
    """What the stores of a Me say of everything in them."""
    said: dict[str, object] = {}
    for service_id in UIDS:
        with open_store(me, service_id, ManualClock(), epoch=epoch) as store:
            said[service_id] = (store.facts(0, limit=1000), store.counts(), store.cursor("entry"), store.head())
    return said


@pytest.fixture
def archive(me: Path, tmp_path: Path) -> Path:
    """A backup with secrets."""
    save(me, tmp_path / "b.tar")
    return tmp_path / "b.tar"


def test_everything_is_back(me: Path, archive: Path, tmp_path: Path) -> None:
    """Facts, current state, cursors, files, secrets and the device's own identity."""
    device = open_device(me, open_master_key(me)).id
    before = answers_of(me, epoch=1)
    back = tmp_path / "Back"

    restored = bring_back(archive, back)

    assert before == answers_of(back, epoch=2)
    assert restored.has_secrets
    assert FILE in [path.read_bytes() for path in (back / "feeds" / "files").rglob("*") if path.is_file()]
    assert b"the connector's own" == (back / "feeds" / "own" / "state").read_bytes()
    master = open_master_key(back)
    assert device == open_device(back, master).id
    sealed = SealedFile(
        back / "feeds" / "auth.sealed", master.service_key(UIDS["feeds"]), context=f"auth:{UIDS['feeds']}"
    )
    assert {"t": SECRET} == sealed.read()
    assert ["locker.json"] == [path.name for path in back.glob("locker.json*")]
    assert 0o600 == (back / "key").stat().st_mode & 0o777
    assert 0o700 == (back / "feeds").stat().st_mode & 0o777
    assert not (back / STAGE).exists()


def test_it_is_another_incarnation_at_rest(me: Path, archive: Path, tmp_path: Path) -> None:
    """A new epoch for each store, the next origin epoch for each log, and no service that syncs."""
    with open_store(me, "feeds", ManualClock()) as store:
        old = store.epoch()
    back = tmp_path / "Back"

    restored = bring_back(archive, back)

    documents = Documents(back / "locker.json", ManualClock())
    rows = documents.table("services").all()
    assert [(2, True), (2, True)] == [(row["origin_epoch"], row["paused"]) for row in rows]
    assert 2 == owner_epoch(documents)
    assert ("feeds", "notes") == restored.resting
    with open_store(back, "feeds", ManualClock(), epoch=2) as store:
        assert old != store.epoch()
        store.commit([Change(type="entry", key="new", value={"n": 1})])
        fact = store.facts(store.head() - 1, limit=1)[0]
        assert (2, 1) == (fact.origin_epoch, fact.origin_seq)


def test_the_core_s_own_listeners_go_on_where_they_were(archive: Path, tmp_path: Path) -> None:
    """Their positions were saved with the stores: nothing is heard twice for the new epoch's sake."""
    back = tmp_path / "Back"
    bring_back(archive, back)
    with open_store(back, "feeds", ManualClock(), epoch=2) as store:
        epoch, head = store.epoch(), store.head()

    db = apsw.Connection(str(back / "core.db"))
    rows = db.execute("SELECT epoch, seq FROM position WHERE log = ?", (UIDS["feeds"],)).fetchall()
    db.close()

    assert [(epoch, head)] == rows


def test_a_lost_passphrase_still_opens_the_data(archive: Path, tmp_path: Path) -> None:
    """Records are there; what was sealed is not, and a new key is made at the first start."""
    back = tmp_path / "Back"

    restored = bring_back(archive, back, passphrase=lambda _attempt: None)

    assert not restored.has_secrets
    assert not (back / "key").exists()
    assert not list(back.rglob("auth.sealed"))
    with open_store(back, "feeds", ManualClock(), epoch=2) as store:
        assert {"entry": 19} == store.counts()
    assert "sign-in" in restore_notices(back)[0]
    assert restore_notices(back)[0].endswith(f"--me {back}")  # The command can be copied as it stands.
    open_device(back, open_master_key(back))


def test_a_wrong_passphrase_is_asked_again_and_restores_nothing_in_the_end(archive: Path, tmp_path: Path) -> None:
    """Three tries; a good one among them is enough."""
    back = tmp_path / "Back"
    with pytest.raises(KeyMissing):
        bring_back(archive, back, passphrase=lambda _attempt: "wrong horse battery")
    assert [] == list(back.iterdir())

    assert bring_back(archive, back, passphrase=lambda attempt: PHRASE if attempt == 2 else "wrong horse").has_secrets


def test_taking_over_wakes_what_the_restore_put_to_rest(me: Path, archive: Path, tmp_path: Path) -> None:
    """Those alone: a service that its owner had paused stays so. Again does nothing, and the notice goes."""
    documents = Documents(me / "locker.json", ManualClock())
    documents.table("services").update({"paused": True}, doc_ids=[1])
    save(me, tmp_path / "c.tar")
    back = tmp_path / "Back"
    bring_back(tmp_path / "c.tar", back)
    assert 1 == len(restore_notices(back))
    assert ("notes",) == still_there(restored_in(back), ["notes", "others"])  # type: ignore[arg-type]

    assert ("notes",) == take_over(back, ManualClock())

    rows = Documents(back / "locker.json", ManualClock()).table("services").all()
    assert {"feeds": True, "notes": False} == {row["id"]: row["paused"] for row in rows}
    assert [] == restore_notices(back)
    assert not (back / "locker.json.last").exists()
    assert () == take_over(back, ManualClock())


def test_what_came_back_rests_until_the_take_over(archive: Path, tmp_path: Path) -> None:
    """Whether it was paused before or not; what is installed since, and what its owner installed again, does not."""
    back = tmp_path / "Back"
    bring_back(archive, back)
    came = Service(id="feeds", uid="u", connector="feeds", title="Feeds", installed_at=0.0, origin_epoch=2, paused=True)
    new = replace(came, origin_epoch=1)

    with pytest.raises(UserActionNeeded) as refused:
        check_awake(back, came)
    check_awake(back, new)
    check_awake(back, replace(came, paused=False))
    assert f"restore --take-over --me {back}" in refused.value.remedy

    take_over(back, ManualClock())
    check_awake(back, came)


@pytest.mark.parametrize("is_taken_over", [False, True])
def test_an_edit_by_hand_after_a_restore_counts(archive: Path, tmp_path: Path, is_taken_over: bool) -> None:
    """Whoever wrote the file has let go of it, so nobody takes the edit for one made while it was open."""
    back = tmp_path / "Back"
    bring_back(archive, back)
    if is_taken_over:
        take_over(back, ManualClock())
    path = back / "locker.json"
    edited = path.read_text().replace('"feeds"', '"news"')
    path.write_text(edited)

    documents = Documents(path, ManualClock())
    ids = {row["id"] for row in documents.table("services").all()}
    documents.close()

    assert {"news", "notes"} == ids
    assert documents.notice is None
    assert edited == path.read_text()
    assert [] == sorted(name.name for name in back.glob("locker.json.*") if name.suffix != ".bak")


def test_kept_data_gets_its_next_epoch_and_is_not_put_to_rest(me: Path, tmp_path: Path) -> None:
    """Whoever installs it again wants it to sync."""
    Documents(me / "locker.json", ManualClock()).table("services").update({"state": "kept"}, doc_ids=[2])
    save(me, tmp_path / "c.tar")

    restored = bring_back(tmp_path / "c.tar", tmp_path / "Back")

    rows = Documents(tmp_path / "Back" / "locker.json", ManualClock()).table("services").all()
    assert [(2, True), (2, False)] == [(row["origin_epoch"], row["paused"]) for row in rows]
    assert ("feeds",) == restored.resting


def test_a_restored_me_that_nobody_took_over_can_be_saved_and_restored(archive: Path, tmp_path: Path) -> None:
    """What rested since the first restore is still known to be woken after the second."""
    bring_back(archive, tmp_path / "One")
    save(tmp_path / "One", tmp_path / "again.tar")

    restored = bring_back(tmp_path / "again.tar", tmp_path / "Two")

    assert ("feeds", "notes") == restored.resting
    assert 3 == owner_epoch(Documents(tmp_path / "Two" / "locker.json", ManualClock()))


def test_only_an_empty_me_is_restored_into(me: Path, archive: Path, tmp_path: Path) -> None:
    """What stands there stays untouched; a README of ours and a lock are nothing."""
    before = sorted(me.rglob("*"))
    with pytest.raises(Conflict, match="not empty"):
        bring_back(archive, me)
    assert before == sorted(me.rglob("*"))

    almost = tmp_path / "Almost"
    almost.mkdir()
    (almost / "README.md").write_text("here")
    (almost / "core.lock").write_text("")
    bring_back(archive, almost)
    assert (almost / "locker.json").exists()


def test_a_backup_cut_anywhere_is_told_and_restores_nothing(archive: Path, tmp_path: Path) -> None:
    """At the boundary of each entry, one byte before and one behind, and at many places between. S3. INV-16."""
    whole = archive.read_bytes()
    end = len(whole.rstrip(b"\0"))
    places = {place + delta for place in range(0, end, 512 * 29) for delta in (-1, 0, 1)}
    boundaries = [place for place in range(0, end, 512) if whole[place + 257 : place + 262] == b"ustar"]
    places |= {place + delta for place in boundaries for delta in (-1, 0, 1)} | {end - 1}
    back, cut = tmp_path / "Back", tmp_path / "cut.tar"
    for length in sorted(places - {-1}):
        cut.write_bytes(whole[:length])
        with pytest.raises(LockerError):
            bring_back(cut, back, passphrase=lambda _attempt: None)
        assert [] == list(back.iterdir()), length


def test_a_flipped_bit_is_told_and_restores_nothing(archive: Path, tmp_path: Path) -> None:
    """In a database, in the documents, in the secrets, in the inventory: nothing passes."""
    whole = archive.read_bytes()
    back, bad = tmp_path / "Back", tmp_path / "bad.tar"
    for place in (*range(600, len(whole.rstrip(b"\0")), 9973), whole.index(b'"services"'), whole.index(b"LKP1") + 60):
        flipped = bytearray(whole)
        flipped[place] ^= 4
        bad.write_bytes(flipped)
        try:
            bring_back(bad, back)
        except LockerError:
            assert [] == list(back.iterdir())
        else:  # A letter of the padding, or a name's mode: nothing that was saved.
            answers_of(back, epoch=2)
            assert flipped[place] ^ 4 in (0, ord("0")) or whole[place - place % 512 + 257 :][:5] == b"ustar"
            subprocess.run(["rm", "-r", str(back)], check=True)


def rewritten(archive: Path, target: Path, change: dict[str, bytes | None]) -> Path:
    """The archive with some entries replaced, or left out, and contents that agree."""
    with scratch(target) as beside, packed(target, beside, form="tar") as sink:
        for item in items(archive):
            content = change.get(item.name, text_of(item))
            if item.name != "contents.jsonl" and content is not None:
                sink.add(item.name, [content], size=len(content))
        for name in change:
            if name.startswith("+"):
                sink.add(name[1:], [b""], size=0)
    return target


def test_a_newer_format_is_refused(archive: Path, tmp_path: Path) -> None:
    """Before anything of it is believed."""
    newer = rewritten(archive, tmp_path / "newer.tar", {"backup.json": b'{"format": 2, "new": true}'})

    with pytest.raises(FormatTooNew):
        bring_back(newer, tmp_path / "Back")

    assert [] == list((tmp_path / "Back").iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"inventory.json": None},
        {"me/feeds/store.db": None},
        {"me/feeds/store.db": b"SQLite format 3\0 no more"},
        {"backup.json": b"{}"},
        {"inventory.json": b"[]"},
        {"+me/.restore/ready": b""},
        {"+me/core.lock": b""},
        {"+other": b""},
    ],
)
def test_a_backup_that_contradicts_itself_is_refused(
    archive: Path, tmp_path: Path, change: dict[str, bytes | None]
) -> None:
    """Its contents may agree: each database is opened and compared too."""
    wrong = rewritten(archive, tmp_path / "wrong.tar", change)

    with pytest.raises(FileDamaged):
        bring_back(wrong, tmp_path / "Back")

    assert [] == list((tmp_path / "Back").iterdir())


def test_an_inventory_reaches_nothing_outside(me: Path, archive: Path, tmp_path: Path) -> None:
    """It may name a database that stands elsewhere and holds just what it says: that one stays as it is."""
    inventory = {item.name: text_of(item) for item in items(archive)}["inventory.json"]
    outside = str(me / "feeds" / "store.db").encode()
    change = {"inventory.json": inventory.replace(b'"feeds/store.db"', b'"' + outside + b'"')}
    wrong = rewritten(archive, tmp_path / "wrong.tar", change)
    with open_store(me, "feeds", ManualClock()) as store:
        epoch = store.epoch()

    with pytest.raises(FileDamaged):
        bring_back(wrong, tmp_path / "Back")

    with open_store(me, "feeds", ManualClock()) as store:
        assert epoch == store.epoch()


def test_an_export_is_no_backup(tmp_path: Path) -> None:
    """Another archive of ours is told from one."""
    with scratch(tmp_path / "x.tar") as beside, packed(tmp_path / "x.tar", beside, form="tar") as sink:
        sink.add("export.json", [b"{}"], size=2)

    with pytest.raises(FileDamaged, match="no backup"):
        bring_back(tmp_path / "x.tar", tmp_path / "Back")


def test_a_full_disk_leaves_me_empty(archive: Path, tmp_path: Path) -> None:
    """It is told, and with room the same call works."""
    with small_disk(tmp_path / "disk", size_bytes=64 * 1024 * 1024) as disk:
        (disk / "fill").write_bytes(b"x" * (60 * 1024 * 1024))
        with pytest.raises(StorageFull):
            bring_back(archive, disk / "Me")
        assert [] == list((disk / "Me").iterdir())


RESTORER = """
import os, sys
from pathlib import Path
import core.backup.restoring as restoring
from core.model.clock import SystemClock
count = int(sys.argv[3])
rename = Path.rename
def dying(self, target):
    global count
    count -= 1
    if count < 0:
        os.kill(os.getpid(), 9)
    return rename(self, target)
Path.rename = dying
restoring.restore(Path(sys.argv[1]), Path(sys.argv[2]), passphrase=lambda _attempt: None, clock=SystemClock())
"""


@pytest.mark.parametrize("renames", range(7))
def test_killed_while_moving_in_it_is_known_and_finished(archive: Path, tmp_path: Path, renames: int) -> None:
    """After the mark nothing is lost: the Me says that it is not whole, and the same call finishes it. INV-16."""
    back = tmp_path / "Back"
    done = subprocess.run([sys.executable, "-c", RESTORER, str(archive), str(back), str(renames)], check=False)
    killed = done.returncode == -signal.SIGKILL
    assert killed or done.returncode == 0
    if killed and (back / STAGE / "ready").exists():
        assert is_unfinished(back)

    if killed:
        bring_back(archive, back, passphrase=lambda _attempt: None)

    assert not is_unfinished(back)
    assert {"feeds", "notes", "locker.json", "core.db", "restored.json", "logs"} <= {p.name for p in back.iterdir()}
    assert answers_of(back, epoch=2)


def test_killed_while_it_tidies_up_it_is_whole(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once all has moved in, no rest of the stage says otherwise."""
    back = tmp_path / "Back"
    rmtree = shutil.rmtree

    def dying(place: Path, **options: bool) -> None:
        if (place / "tree").exists() and (back / "restored.json").exists():
            (place / "tree").rmdir()
            raise KeyboardInterrupt
        rmtree(place, **options)

    monkeypatch.setattr("shutil.rmtree", dying)
    with pytest.raises(KeyboardInterrupt):
        bring_back(archive, back, passphrase=lambda _attempt: None)

    assert not is_unfinished(back)
    assert answers_of(back, epoch=2)


KILLED = """
import sys
from pathlib import Path
from core.backup import restore
from core.model.clock import SystemClock
print("started", flush=True)
restore(Path(sys.argv[1]), Path(sys.argv[2]), passphrase=lambda _attempt: None, clock=SystemClock())
"""


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.03, 0.06])
def test_killed_at_any_moment_the_same_call_works(archive: Path, tmp_path: Path, after_s: float) -> None:
    """What was begun is begun anew, or finished."""
    back = tmp_path / "Back"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(archive), str(back)], stdout=subprocess.PIPE) as restorer:
        assert restorer.stdout is not None
        restorer.stdout.readline()
        time.sleep(after_s)  # The moment of death itself.
        restorer.send_signal(signal.SIGKILL)
    if not (back / "restored.json").exists() or is_unfinished(back):
        bring_back(archive, back, passphrase=lambda _attempt: None)

    assert answers_of(back, epoch=2)


def test_a_damaged_note_of_a_restore_is_no_obstacle(tmp_path: Path) -> None:
    """Where it cannot be read, nothing waits."""
    (tmp_path / "restored.json").write_text("{")

    assert restored_in(tmp_path) is None
    assert [] == restore_notices(tmp_path)

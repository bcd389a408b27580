"""The power goes at any moment: whatever of the unflushed writes reached the disk, what was acknowledged is there."""

from __future__ import annotations

import random
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from core.model.clock import ManualClock
from core.model.fact import Change
from core.store import Store
from core.store.care.salvage import examine
from core.store.care.verify import verify
from tests.store.conftest import ORIGIN, TYPES

COMMITS = 12


class Deed(NamedTuple):
    """Something done to a file, or an acknowledgement (`what` is `ack`, `at` how many so far)."""

    what: str
    name: str = ""
    at: int = 0
    data: bytes = b""


class RecordingDisk(apsw.VFS):
    """SQLite's own disk, with a record of everything that is done to its files."""

    def __init__(self) -> None:
        self.name = f"recording-{uuid.uuid4().hex}"
        self.deeds: list[Deed] = []
        super().__init__(self.name, "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 (SQLite's name)
        """A file that is recorded."""
        return _RecordedFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Remove a file, and note it."""
        super().xDelete(filename, syncdir)
        self.deeds.append(Deed("delete", Path(filename).name))


class _RecordedFile(apsw.VFSFile):
    def __init__(self, disk: RecordingDisk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        full = name.filename() if isinstance(name, apsw.URIFilename) else (name or "")
        self._name = Path(full).name
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._disk.deeds.append(Deed("write", self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self._disk.deeds.append(Deed("truncate", self._name, size))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._disk.deeds.append(Deed("flush", self._name))


@contextmanager
def _recording() -> Iterator[RecordingDisk]:
    disk = RecordingDisk()
    try:
        yield disk
    finally:
        disk.unregister()


def _applied(content: dict[str, bytearray], deed: Deed) -> None:
    if deed.what == "delete":
        content.pop(deed.name, None)
        return
    file = content.setdefault(deed.name, bytearray())
    if deed.what == "truncate":
        del file[deed.at :]
    elif deed.what == "write":
        file.extend(bytes(max(0, deed.at - len(file))))
        file[deed.at : deed.at + len(deed.data)] = deed.data


def _disk_after(deeds: list[Deed], *, dice: random.Random, share: float) -> dict[str, bytearray]:
    """What a disk holds that lost its power after `deeds`: all that was flushed, and a share of what was not.

    A write of several sectors may be cut between two of them.
    """
    flushed: dict[str, int] = {}
    for number, deed in enumerate(deeds):
        if deed.what == "flush":
            flushed[deed.name] = number
    content: dict[str, bytearray] = {}
    for number, deed in enumerate(deeds):
        is_safe = number < flushed.get(deed.name, -1) or deed.what == "delete"
        if is_safe or dice.random() < share:
            _applied(content, deed)
        elif deed.what == "write" and dice.random() < 0.3:
            _applied(content, deed._replace(data=deed.data[: 512 * dice.randrange(len(deed.data) // 512 + 1)]))
    return content


def _life(folder: Path, clock: ManualClock) -> list[Deed]:
    """Everything a store does to its disk in two short lives."""
    with _recording() as disk:
        done = 0
        for _ in range(2):
            with Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock) as store:
                for number in range(COMMITS // 2):
                    value = {"n": number, "title": "word", "text": "x" * 200 * (number % 3)}
                    store.commit([Change(type="note", key=f"k{done % 4}", value=value | {"at": done})])
                    done += 1
                    disk.deeds.append(Deed("ack", at=done))
    return disk.deeds


def _check(deeds: list[Deed], place: Path, clock: ManualClock, *, dice: random.Random, share: float) -> None:
    """After a power cut the acknowledged facts are there, and perhaps one that was being committed."""
    acknowledged = max((deed.at for deed in deeds if deed.what == "ack"), default=0)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, content in _disk_after(deeds, dice=dice, share=share).items():
        if name.startswith("store.db") and not name.endswith("-shm"):
            (place / name).write_bytes(content)
    (place / "store.lock").write_bytes(b"{}")
    found = examine(place, at=1.0, mend=True)
    told = (len(deeds), share, found)
    assert found.verdict != "damaged", told
    assert acknowledged <= found.head <= acknowledged + 1, told
    with Store.open(place, types=TYPES, origin=ORIGIN, clock=clock) as store:
        assert found.head == store.head(), told
        store.commit([Change(type="note", key="after", value={})])
        assert found.head + 1 == verify(store.rows, wait=lambda _: None).facts
        assert verify(store.rows, wait=lambda _: None).is_whole


def test_power_cut_at_chosen_moments(folder: Path, tmp_path: Path, clock: ManualClock) -> None:
    """Some moments, with nothing, half, or all of what was not flushed on the disk. INV-02."""
    deeds = _life(folder, clock)
    dice = random.Random(7)

    for end in sorted(dice.sample(range(len(deeds) + 1), 16)):
        _check(deeds[:end], tmp_path / "after", clock, dice=dice, share=dice.choice([0.0, 0.5, 1.0]))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_power_cut_at_every_moment(folder: Path, tmp_path: Path, clock: ManualClock) -> None:
    """After each write, flush and removal, five times with other shares of what was not flushed. INV-02."""
    deeds = _life(folder, clock)
    dice = random.Random(8)

    for end in range(len(deeds) + 1):
        for share in (0.0, 0.2, 0.5, 0.8, 1.0):
            _check(deeds[:end], tmp_path / "after", clock, dice=dice, share=share)

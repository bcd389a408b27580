"""A command that takes facts in while the core runs has the store to itself, and never for longer than it lives."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.cli import exits
from core.cli.running_core import borrowed
from core.model.errors import NotFound, Retry
from core.store.lock import WriterLock
from tests.fakes.house import ROOT, House, open_house

FACTS = 60_000


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A core with one service that has synced."""
    made = House(tmp_path)
    (made.config / "locker.toml").write_text(
        f'connector_paths = ["{ROOT}/tests/assembly/connectors"]\nspawn = "plain"\n'
    )
    with open_house(tmp_path) as opened:
        opened.install("tally", settings={"count": 20})
        opened.wait(lambda: len(opened.records("tally", "number")) == 20, what="the first sync")
        yield opened


def _facts(path: Path, *, count: int = FACTS) -> Path:
    with path.open("w") as lines:
        for number in range(count):
            value = {"number": number}
            fact = {"id": f"made-{number}", "store": "number", "key": f"e{number}", "value": value}
            lines.write(json.dumps(fact | {"transaction_time": 1.0}) + "\n")
    return path


def _begin(house: House, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "core.cli", *words, "--me", str(house.me), "--config", str(house.config)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def _begin_import(house: House, facts: Path) -> subprocess.Popen[bytes]:
    return _begin(house, "import", str(facts), "--into", "tally")


def _done(command: subprocess.Popen[bytes]) -> str:
    said = command.communicate(timeout=120)[0].decode()
    assert 0 == command.returncode, said
    return said


def _is_lent(house: House) -> bool:
    return house.get("/Me/tally/status").status_code == 503


def _service(house: House) -> dict[str, Any]:
    return dict(house.get("/map").json()["installed"]["tally"])


def _is_running(house: House, service: str) -> bool:
    return bool(house.get("/map").json()["installed"][service]["state"] == "running")


def test_a_killed_import_gives_the_service_back(house: House, tmp_path: Path) -> None:
    """It was on all the time, answers that it will be back while it is away, and the sync that was cut goes on."""
    assert house.ask("PUT", "/core/tally/settings", json={"settings": {"count": 80, "pause_s": 0.7}}).ok
    assert house.post("/Me/tally/sync").ok
    house.wait(lambda: len(house.records("tally", "number")) >= 40, what="a part of the sync")
    importing = _begin_import(house, _facts(tmp_path / "facts.jsonl"))
    house.wait(lambda: _is_lent(house), what="the import")
    told = house.get("/Me/tally/status")
    importing.kill()
    importing.communicate()

    assert ("retry", "5") == (told.json()["type"], told.headers["retry-after"])
    house.wait(lambda: house.get("/Me/tally/status").ok, what="the service back")
    assert _service(house)["enabled"]
    house.wait(lambda: house.get("/Me/tally/records/number/79").ok, what="the rest of the sync")


def test_an_import_that_ends_leaves_all_as_it_was(house: House, tmp_path: Path) -> None:
    """What it took is there at once, beside what was; the service is on, syncs, and its store is lent again."""
    before = {name: value for name, value in _service(house).items() if name != "state"}
    _done(_begin_import(house, _facts(tmp_path / "facts.jsonl", count=3000)))

    assert house.get("/Me/tally/records/number/e7").json()["value"] == {"number": 7}
    assert house.get("/Me/tally/records/number/7").json()["value"] == {"n": 7, "name": "number 7"}
    assert before == {name: value for name, value in _service(house).items() if name != "state"}
    assert "ok" == house.sync("tally")[0]["status"]
    with borrowed(house.me, "tally"):
        assert _is_lent(house)


def test_a_store_is_lent_once_at_a_time(house: House) -> None:
    """The second command is told to come later, the first keeps it; a service switched off meanwhile stays off."""
    with borrowed(house.me, "tally"):
        with pytest.raises(Retry, match="Another command") as refused, borrowed(house.me, "tally"):
            pass
        assert exits.LATER == exits.exit_code(refused.value)
        assert _is_lent(house)
        assert house.post("/core/tally/disable").ok
    assert not _service(house)["enabled"]

    assert house.post("/core/tally/enable").ok
    assert house.get("/Me/tally/status").ok


def test_a_service_whose_store_is_lent_is_not_uninstalled(house: House) -> None:
    """Neither with its data nor without: what the command is writing would be lost under it."""
    for data in ("erase", "keep"):
        with borrowed(house.me, "tally"):
            refused = house.post("/core/tally/uninstall", json={"data": data})
            assert (503, "retry") == (refused.status_code, refused.json()["type"])
        assert _service(house)["enabled"]
        assert 20 == len(house.records("tally", "number"))

    assert house.post("/core/tally/uninstall", json={"data": "erase"}).ok
    with pytest.raises(NotFound), borrowed(house.me, "tally"):
        pass


@pytest.fixture
def awake(tmp_path: Path) -> Iterator[House]:
    """A core with a service that it never lets sleep, and one whose store it writes itself."""
    for name, line in (("awake", "[limits]\nresident = true\n"), ("kept", "")):
        folder = tmp_path / "connectors" / name
        shutil.copytree(ROOT / "tests" / "assembly" / "connectors" / "tally", folder)
        text = (folder / "connector.toml").read_text().replace('"tally"', f'"{name}"')
        if name == "kept":
            shutil.rmtree(folder / "sync", ignore_errors=True)
            text = text.replace("version =", 'writer = "core"\nversion =').split("[streams")[0]
        (folder / "connector.toml").write_text(text + line)
    made = House(tmp_path)
    (made.config / "locker.toml").write_text(f'connector_paths = ["{tmp_path}/connectors"]\nspawn = "plain"\n')
    with open_house(tmp_path) as opened:
        opened.install("awake")
        opened.install("kept")
        opened.wait(lambda: _is_running(opened, "awake"), what="the resident's start")
        yield opened


def test_a_resident_runs_again_when_the_command_is_done(awake: House) -> None:
    """Nobody has to ask for it."""
    with borrowed(awake.me, "awake"):
        assert not _is_running(awake, "awake")

    awake.wait(lambda: _is_running(awake, "awake"), what="the resident again")


@contextlib.contextmanager
def _working_on(house: House, service: str) -> Iterator[None]:
    """What a command does: it borrows the store, then holds the writer's lock."""
    with borrowed(house.me, service):
        lock = WriterLock.acquire(house.me / service)
        try:
            yield
        finally:
            lock.release(clean=True)


@pytest.mark.parametrize("ends", [House.kill, House.stop])
def test_a_core_that_starts_while_a_command_has_a_store_leaves_it_to_that(
    awake: House, ends: Callable[[House], object]
) -> None:
    """Callers are told to come again, nobody else may have it, and when the command is done all goes on by itself."""
    with _working_on(awake, "awake"), _working_on(awake, "kept"):
        ends(awake)
        awake.start()
        for name in ("awake", "kept"):
            awake.wait(lambda: awake.get(f"/Me/{name}/status").status_code == 503, what=name)  # noqa: B023
            told = awake.get(f"/Me/{name}/status")
            assert ("retry", "5") == (told.json()["type"], told.headers["retry-after"])
            assert "another process writes the store" in told.json()["detail"]
            with pytest.raises(Retry, match="Another command"), borrowed(awake.me, name):
                pass
            assert 503 == awake.post(f"/core/{name}/uninstall", json={"data": "erase"}).status_code
        assert not (awake.me / "kept" / "store.sock").exists()

    awake.wait(lambda: _is_running(awake, "awake"), what="the resident again")
    awake.wait((awake.me / "kept" / "store.sock").exists, what="the store served again")
    assert awake.get("/Me/awake/status").ok


def test_a_store_that_nobody_asks_for_meanwhile_is_served_again(awake: House) -> None:
    """The core that was started while a command had it looks by itself whether the command is done."""
    with _working_on(awake, "kept"):
        awake.kill()
        awake.start()
        assert not (awake.me / "kept" / "store.sock").exists()

    awake.wait((awake.me / "kept" / "store.sock").exists, what="the store served again")


def test_a_second_command_is_refused_by_a_core_that_has_not_met_the_first(house: House) -> None:
    """Its writer's lock tells; the service then goes on when the first is done."""
    with _working_on(house, "tally"):
        house.kill()
        house.start()
        with pytest.raises(Retry, match="Another command"), borrowed(house.me, "tally"):
            pass
        assert _is_lent(house)

    house.wait(lambda: house.get("/Me/tally/status").ok, what="the service back")


def test_a_core_that_stops_meanwhile_ends_in_time(house: House) -> None:
    """The borrower is not waited for, and what it does after that is its own."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(borrowed(house.me, "tally"))
        assert 0 == house.stop(timeout_s=6)


def test_an_import_into_a_folder_that_is_gone_is_of_the_epoch_that_the_core_began(house: House, tmp_path: Path) -> None:
    """So that what was stored there may come back some day: its positions are of the epoch before."""
    before = house.records("tally", "number")
    _done(_begin(house, "export", str(tmp_path / "before"), "--service", "tally"))
    assert house.post("/core/tally/disable").ok
    shutil.rmtree(house.me / "tally")

    _done(_begin_import(house, _facts(tmp_path / "facts.jsonl", count=3)))
    _done(_begin(house, "import", str(tmp_path / "before")))

    assert house.post("/core/tally/enable").ok
    assert {*before, "e0", "e1", "e2"} == set(house.records("tally", "number"))
    _done(_begin(house, "export", str(tmp_path / "after"), "--service", "tally"))
    facts = [json.loads(line) for line in (tmp_path / "after" / "tally" / "facts.jsonl").read_text().splitlines()]
    assert {1001} == {fact["origin_epoch"] for fact in facts if fact["id"].startswith("made-")}
    assert len(facts) == len({(fact["origin"], fact["origin_epoch"], fact["origin_seq"]) for fact in facts})

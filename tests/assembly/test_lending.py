"""A command that takes facts in while the core runs has the store to itself, and never for longer than it lives."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.cli.running_core import borrowed
from core.model.errors import Conflict
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


def test_a_killed_import_gives_the_service_back(house: House, tmp_path: Path) -> None:
    """It was on all the time, answers that it will be back while it is away, and syncs again by itself."""
    importing = _begin_import(house, _facts(tmp_path / "facts.jsonl"))
    house.wait(lambda: _is_lent(house), what="the import")
    told = house.get("/Me/tally/status")
    importing.kill()
    importing.communicate()

    assert ("retry", "5") == (told.json()["type"], told.headers["retry-after"])
    house.wait(lambda: house.get("/Me/tally/status").ok, what="the service back")
    assert _service(house)["enabled"]
    assert "ok" == house.sync("tally")[0]["status"]


def test_an_import_that_ends_leaves_all_as_it_was(house: House, tmp_path: Path) -> None:
    """As soon as the command is done, what it took is there."""
    _done(_begin_import(house, _facts(tmp_path / "facts.jsonl")))

    assert house.get("/Me/tally/records/number/e7").json()["value"] == {"number": 7}


def test_a_store_is_lent_once_at_a_time(house: House) -> None:
    """The second command is told so, the first keeps it; a service that was switched off meanwhile stays off."""
    with borrowed(house.me, "tally"):
        with pytest.raises(Conflict, match="Another command"), borrowed(house.me, "tally"):
            pass
        assert _is_lent(house)
        assert house.post("/core/tally/disable").ok
    assert not _service(house)["enabled"]

    assert house.post("/core/tally/enable").ok
    assert house.get("/Me/tally/status").ok


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

"""doctor: what it looks at, and what it says to do."""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.cli import exits
from core.cli.doctor import of_packages, of_place, of_port, of_sqlite
from core.cli.findings import FAULT, GOOD, NOTE
from core.cli.inventory import gaps_in
from core.model.clock import SystemClock
from core.model.errors import TooBusy
from core.model.ids import uuid7
from core.model.problem import problem_document
from core.store import Origin, Run, Store
from tests.cli.conftest import Locker
from tests.cli.fake_core import FakeCore
from tests.fakes.house import ROOT


def test_on_a_sound_machine_there_is_nothing_to_mend(locker: Locker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a core and with a free port there is nothing to mend."""
    monkeypatch.setenv("LOCKER_PORT", "0")
    done = locker("doctor", "--json")
    findings = json.loads(done.out)

    assert exits.DONE == done.code
    assert [] == [f for f in findings if f["level"] == FAULT]
    assert {"python", "packages", "sqlite", "configuration", "data", "disk", "core", "port"} <= {
        f["subject"] for f in findings
    }


def test_a_damaged_package_is_found(tmp_path: Path) -> None:
    """A pin that is not there or is there in another version is named, with what to do; all others are good."""
    present = tmp_path / "present.txt"
    present.write_text(f"click=={importlib.metadata.version('click')} \\\n    --hash=sha256:00\n    # via locker\n")
    absent = tmp_path / "absent.txt"
    absent.write_text("click==0.1\nno-such-thing==1.0\nnot-here==1.0 ; sys_platform == 'nowhere'\n")

    assert [GOOD] == [finding.level for finding in of_packages(present)]
    first, second = of_packages(absent)
    assert (FAULT, FAULT) == (first.level, second.level)
    assert first.sentence.startswith("click is there as ")
    assert "no-such-thing 1.0 is missing." == second.sentence
    assert sys.prefix in first.cure


@pytest.mark.parametrize("harm", ["remove", "empty"])
def test_a_package_without_its_files_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    """What only its own description still speaks of is not there; compiled copies may come and go."""
    info = tmp_path / "thing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (info / "RECORD").write_text("thing.py,sha256=x,4\n__pycache__/thing.pyc,,\n../../../bin/thing,sha256=x,1\n")
    (tmp_path / "thing.py").write_text("1234")
    (tmp_path / "requirements.txt").write_text("thing==1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert [] == gaps_in(tmp_path / "requirements.txt")
    (tmp_path / "thing.py").unlink() if harm == "remove" else (tmp_path / "thing.py").write_text("")
    assert ["thing 1.0 lacks 1 of its files, such as thing.py"] == gaps_in(tmp_path / "requirements.txt")


def test_a_faulty_configuration_ends_the_round(locker: Locker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What depends on it cannot be looked at; the fault and its cure are told."""
    monkeypatch.setenv("LOCKER_PORT", "many")
    done = locker("doctor")

    assert exits.FAILED == done.code
    assert "LOCKER_PORT" in done.out
    assert "docs/configuration.md" in done.out


def test_requirements_that_nobody_reads_are_noted(
    locker: Locker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to write instead."""
    folder = tmp_path / "own" / "books"
    folder.mkdir(parents=True)
    (folder / "connector.toml").write_text('name = "books"\ntitle = "Books"\n')
    (folder / "requirements.txt").write_text("icalendar\n")
    monkeypatch.setenv("LOCKER_CONNECTOR_PATHS", str(folder.parent))
    done = locker("doctor")

    assert "books: its folder has a requirements.txt, which nobody reads." in done.out
    assert "requires = [" in done.out


def test_a_folder_that_cannot_be_used_is_a_finding(tmp_path: Path) -> None:
    """In words, with the file to correct, whether a core runs or not; no line of a log comes before it."""
    folder = tmp_path / "own" / "books"
    folder.mkdir(parents=True)
    (folder / "connector.toml").write_text('name = "books"\n')
    environment = {
        **os.environ, "LOCKER_ME": str(tmp_path / "Me"), "LOCKER_CONFIG": str(tmp_path), "LOCKER_PORT": "0",
        "LOCKER_CONNECTOR_PATHS": f"{folder.parent}{os.pathsep}{tmp_path / 'none'}",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "core.cli", "doctor"], cwd=ROOT, env=environment, capture_output=True, text=True
    )

    assert (exits.DONE, "") == (done.returncode, done.stderr)
    assert f"! books: The folder cannot be used: title: is missing.\n  Correct {folder}/connector.toml." in done.stdout
    assert "connector_paths: " in done.stdout and "  Correct connector_paths in locker.toml, or see to" in done.stdout


def record(id: str, **changed: Any) -> dict[str, Any]:
    """A service as `/map` tells it."""
    return {"id": id, "enabled": True, "paused": False, "state": "stopped", "reason": ""} | changed


def furnished(core: FakeCore, *services: dict[str, Any]) -> None:
    """Let the core have these services, and nothing pending."""
    core.me.chmod(0o700)
    core.answer("GET", "/map", {"installed": {service["id"]: service for service in services}})
    for service in services:
        core.answer("GET", f"/core/{service['id']}/at", [])


def test_a_running_core_and_what_ails_it(locker: Locker, core: FakeCore) -> None:
    """Failed services, in words, are found by asking the core."""
    ended = {"type": "child_died", "detail": "feeds ended", "remedy": ""}
    gone = {"type": "not_found", "detail": "provdes: is not a key", "remedy": "Correct /c/gone/connector.toml."}
    furnished(core, record("feeds", state="failed", trouble=ended), record("gone", trouble=gone))
    done = locker("doctor")

    assert exits.FAILED == done.code
    assert "feeds: feeds ended\n  Look at the service's log" in done.out
    assert "gone: provdes: is not a key\n  Correct /c/gone/connector.toml." in done.out


def test_a_log_is_named_where_there_is_one(locker: Locker, core: FakeCore) -> None:
    """Nobody is sent to a log that was never written."""
    missing = {"type": "run_missing", "detail": "there is no command 'node'", "remedy": ""}
    furnished(core, *(record(name, state="failed", trouble=missing) for name in ("mute", "loud")))
    (core.me / "logs").mkdir()
    (core.me / "logs" / "loud.log").write_text("x")
    cures = {f["subject"]: f["cure"] for f in json.loads(locker("doctor", "--json").out)}

    assert "Install the program named in connector.toml's run, then press Restart." == cures["mute"]
    assert cures["loud"].endswith("See: python3 locker.py logs loud")


@pytest.mark.parametrize(("status", "level"), [("failed", FAULT), ("held", FAULT), ("partial", NOTE)])
def test_a_last_sync_that_failed_is_found(locker: Locker, core: FakeCore, status: str, level: str) -> None:
    """With the words and the cure that the run left."""
    furnished(core, record("feeds"))
    problem = {"detail": "The source is away.", "remedy": "Check the network."}
    with Store.open(core.me / "feeds", types={}, origin=Origin(log="x", epoch=1), clock=SystemClock()) as store:
        store.note_run(
            Run(id=str(uuid7(1.0)), stream="entry", started_at=1.0, ended_at=2.0, status=status, problem=problem)
        )
    finding = next(f for f in json.loads(locker("doctor", "--json").out) if f["subject"] == "feeds")

    assert (level, "Last sync: The source is away.", "Check the network.") == (
        finding["level"], finding["sentence"], finding["cure"],
    )  # fmt: skip


def test_each_fault_of_the_configuration_is_a_finding(locker: Locker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one line with all of them."""
    monkeypatch.setenv("LOCKER_PORT", "many")
    monkeypatch.setenv("LOCKER_SPAWN", "rocket")
    findings = json.loads(locker("doctor", "--json").out)

    assert 2 == len([f for f in findings if f["subject"] == "configuration"])


def test_a_folder_of_other_things_is_a_fault(locker: Locker, me: Path) -> None:
    """Before the core refuses it, the doctor does."""
    me.mkdir()
    (me / "letters").mkdir()
    done = locker("doctor")

    assert exits.FAILED == done.code
    assert f"--me {me}/Locker" in done.out


def test_a_core_that_refuses_is_a_finding(locker: Locker, core: FakeCore) -> None:
    """A core in trouble is a finding, not the doctor's end."""
    core.answer("GET", "/map", problem_document(TooBusy("Too many ask.")), status=503)
    done = locker("doctor")

    assert exits.FAILED == done.code
    assert "core: Too many ask." in done.out


def test_me_inside_the_checkout_is_noted(locker: Locker) -> None:
    """The command that would delete everything is named."""
    done = locker("doctor", "--me", str(Path(__file__).resolve().parents[2] / "Me"))

    assert "git clean -fdx" in done.out


def test_a_taken_port_is_named_with_who_has_it() -> None:
    """The owner hears it before the core would."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        found = of_port("127.0.0.1", port)

        assert (FAULT, "port") == (found.level, found.subject)
        assert found.sentence.endswith(f" (process {os.getpid()}).")
    assert GOOD == of_port("127.0.0.1", port).level


def test_the_port_that_is_named_is_looked_at(locker: Locker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the one of the configuration, which somebody may have: `run --port N` will not ask for it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("LOCKER_PORT", str(other.getsockname()[1]))
        plain, named = locker("doctor"), locker("doctor", "--port", "0")

    assert (exits.FAILED, exits.DONE) == (plain.code, named.code)
    assert "port: any that is free." in named.out


def test_a_core_that_does_not_answer_is_no_core_that_does_not_run(
    locker: Locker, me: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be starting or stopping: its port is not asked whether it is free."""
    monkeypatch.setattr("core.cli.doctor.running_places", lambda: [me])
    findings = {f["subject"]: f for f in json.loads(locker("doctor", "--json").out)}

    assert (NOTE, "It runs and does not answer: it is starting, or stopping.") == (
        findings["core"]["level"], findings["core"]["sentence"],
    )  # fmt: skip
    assert "port" not in findings


@pytest.mark.parametrize(("version", "level"), [("3.51.2", FAULT), ("3.51.3", GOOD), ("3.54.1", GOOD)])
def test_an_sqlite_that_damages_is_a_fault(version: str, level: str) -> None:
    """The first version that is safe with two connections is the oldest that passes."""
    assert level == of_sqlite(version).level


@pytest.mark.parametrize(("mode", "level"), [(0o755, NOTE), (0o700, GOOD)])
def test_a_me_open_to_others_is_noted(tmp_path: Path, mode: int, level: str) -> None:
    """Whoever else has an account on the machine could look in."""
    tmp_path.chmod(mode)

    assert level == next(finding.level for finding in of_place(tmp_path) if finding.subject == "data")

"""sync: what came, and the code that says how it went."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from core.cli import exits
from core.cli.running_core import RunningCore
from core.model.errors import AuthRequired
from core.model.problem import problem_document
from tests.cli.conftest import Locker
from tests.cli.fake_core import FakeCore


def run(status: str, **changed: Any) -> dict[str, Any]:
    """One run as a service tells it."""
    counts = {"new": 2, "updated": 1, "same": 7, "deleted": 0, "quarantined": 0, "took_s": 0.5}
    return {"stream": "entry", "status": status, **counts, **changed}


def test_sync_tells_what_came(locker: Locker, core: FakeCore) -> None:
    """A row for each stream."""
    core.answer("POST", "/Me/feeds/sync?wait_s=600", {"runs": [run("ok")]})
    done = locker("sync", "feeds")

    assert exits.DONE == done.code
    assert ["entry", "ok", "2", "1", "0", "7", "0"] == done.out.splitlines()[-1].split()


@pytest.mark.parametrize("status", ["failed", "partial", "held"])
def test_a_sync_that_did_not_go_well_tells_why_and_fails(locker: Locker, core: FakeCore, status: str) -> None:
    """One stream that failed is enough for the code; its problem is told."""
    runs = [run("ok"), run(status, stream="other", problem={"detail": "The source is away."})]
    core.answer("POST", "/Me/feeds/sync?wait_s=600", {"runs": runs})
    done = locker("sync", "feeds")

    assert exits.FAILED == done.code
    assert "The source is away." in done.out
    assert runs == json.loads(locker("sync", "feeds", "--json").out)["runs"]


def test_a_long_problem_stands_below_the_rows(locker: Locker, core: FakeCore) -> None:
    """A line for each part of it, what helps last; the rows stay narrow."""
    parts = [{"name": f"https://{n}.example/", "detail": "it is away " * 20} for n in range(2)]
    problem = {"detail": "2 of 2 feeds could not be read.", "remedy": "Wait.", "parts": parts}
    core.answer("POST", "/Me/feeds/sync?wait_s=600", {"runs": [run("failed", problem=problem)]})
    lines = locker("sync", "feeds").out.splitlines()

    assert "entry: 2 of 2 feeds could not be read." == lines[2]
    assert ["  https://0.example/: it", "  https://1.example/: it"] == [line.partition(" is")[0] for line in lines[3:5]]
    assert "  Wait." == lines[5]
    assert all(len(line) < 80 for line in lines[:3])


def test_what_was_set_aside_is_a_reason(locker: Locker, core: FakeCore) -> None:
    """A run that is partial for bad records alone says so."""
    core.answer("POST", "/Me/feeds/sync?wait_s=600", {"runs": [run("partial", quarantined=3)]})

    assert "entry: 3 records could not be stored and were set aside." in locker("sync", "feeds").out


def test_one_stream_is_started_without_waiting(locker: Locker, core: FakeCore) -> None:
    """--wait 0 only starts it: a run that has not ended tells no figures."""
    core.answer("POST", "/Me/feeds/sync/entry", {"runs": [{"stream": "entry", "status": "queued"}]}, status=202)
    done = locker("sync", "feeds", "entry", "--wait", "0")

    assert (exits.DONE, "") == (done.code, done.err)
    assert "feeds is syncing" in done.out


def test_a_sync_that_outlasts_the_wait_goes_on(locker: Locker, core: FakeCore) -> None:
    """When the wait runs out the run goes on; the code says: later."""
    runs = [run("ok"), {"stream": "other", "status": "running"}]
    core.answer("POST", "/Me/feeds/sync?wait_s=1", {"runs": runs}, status=202)
    done = locker("sync", "feeds", "--wait", "1")

    assert exits.LATER == done.code
    assert "feeds is syncing" in done.out
    assert runs == json.loads(locker("sync", "feeds", "--wait", "1", "--json").out)["runs"]


def test_an_answer_without_runs_is_broken(locker: Locker, core: FakeCore) -> None:
    """A connector that takes the call and does not say what runs is told of, in two lines."""
    core.answer("POST", "/Me/notes/sync?wait_s=600", {"done": True})
    done = locker("sync", "notes")

    assert (exits.BROKEN, 2) == (done.code, len(done.err.splitlines()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "See: python3 locker.py list"),
        (["feeds", "bogus"], "it has entry."),
        (["No/Such"], "There is no service 'No/Such'."),
    ],
)
def test_a_sync_of_what_is_not_there_is_answered_with_a_command(
    locker: Locker, core: FakeCore, words: list[str], said: str
) -> None:
    """The cure is a command, not a path of the API."""
    core.answer("GET", "/map", {"installed": {"feeds": {"id": "feeds", "streams": ["entry"]}}})
    done = locker("sync", *words)

    assert exits.REFUSED == done.code
    assert said in done.err
    assert not re.search("GET|Check the address", done.err)


def test_a_connector_with_faults_cannot_sync(locker: Locker, core: FakeCore) -> None:
    """Its faults and its file are told, and the code is no success."""
    trouble = {"type": "not_found", "detail": "provdes: is not a key", "remedy": "Correct /c/typo/connector.toml."}
    core.answer("GET", "/map", {"installed": {"typo": {"id": "typo", "streams": [], "trouble": trouble}}})
    done = locker("sync", "typo")

    assert (exits.REFUSED, ["provdes: is not a key.", "Correct /c/typo/connector.toml."]) == (
        done.code, done.err.splitlines(),
    )  # fmt: skip


def test_a_service_without_streams_has_nothing_to_sync(locker: Locker, core: FakeCore) -> None:
    """That is no fault of the command."""
    core.answer("GET", "/map", {"installed": {"notes": {"id": "notes", "streams": []}}})

    assert (exits.DONE, "notes has nothing to sync.\n") == (locker("sync", "notes").code, locker("sync", "notes").out)


def test_ctrl_c_ends_the_wait_and_not_the_sync(locker: Locker, core: FakeCore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code says that the command was broken off, the words that the sync was not."""

    def broken_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RunningCore, "ask", broken_off)
    done = locker("sync", "feeds")

    assert exits.INTERRUPTED == done.code
    assert "The sync of feeds goes on; see: python3 locker.py status" in done.err


def test_a_sync_before_the_sign_in_says_where_to_sign_in(locker: Locker, core: FakeCore) -> None:
    """The owner is sent to the service's page."""
    core.answer("POST", "/Me/feeds/sync?wait_s=600", problem_document(AuthRequired()), status=401)

    assert exits.OWNER_MUST_ACT == locker("sync", "feeds").code

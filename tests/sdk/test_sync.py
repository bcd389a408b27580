"""Runs of streams in real children: what is kept, what is counted, what is asked of the core."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.epilogue import ASIDE_TOLD_MAX
from connectors.sdk.testing import Child, FakeCore
from core.model.errors import Forbidden

ROWS = [["row", {"id": n, "name": f"thing {n}"}] for n in range(3)]


@pytest.fixture
def play(core: FakeCore, connectors: Path) -> Callable[..., Child]:
    """A child whose streams do what they are told, run after run."""

    def start(**script: Any) -> Child:
        return core.start(connectors / "puppet", settings={"script": script})

    return start


def test_rows_are_kept_and_counted(play: Callable[..., Child]) -> None:
    """A first run is all new; the same rows again are the same and write nothing."""
    child = play(first=[ROWS])
    once, again = child.sync("first"), child.sync("first")

    assert (3, 0, "ok") == (once[0]["new"], once[0]["same"], once[0]["status"])
    assert (0, 3, "ok") == (again[0]["new"], again[0]["same"], again[0]["status"])
    assert 3 == len(child.facts())


def test_a_changed_row_is_a_new_version(play: Callable[..., Child]) -> None:
    """History keeps both; what is declared volatile makes no version."""
    child = play(
        first=[
            [["row", {"id": 1, "name": "a", "seen": 1}]],
            [["row", {"id": 1, "name": "a", "seen": 2}]],
            [["row", {"id": 1, "name": "b", "seen": 2}]],
        ]
    )
    counts = [child.sync("first")[0] for _ in range(3)]

    assert [(1, 0, 0), (0, 0, 1), (0, 1, 0)] == [(c["new"], c["updated"], c["same"]) for c in counts]
    assert ["b", "a"] == [f["value"]["name"] for f in child.get("/records/thing/1/history").json()["facts"]]


def test_a_run_knows_whether_the_owner_asked_for_it(play: Callable[..., Child], tmp_path: Path) -> None:
    """By the actor that the core names; a run that still waits becomes the owner's when the owner asks for it too."""
    go = tmp_path / "go"
    child = play(first=[[["for whom"]], [["for whom"]], [["wait_for", str(go)]]], second=[[["for whom"]]])
    names = []
    for actor in ("core", "owner"):
        child.sync("first", actor=actor)
        names.append(child.records("thing")["for whom"]["value"]["name"])
    for stream, actor in (("first", "core"), ("second", "core"), ("second", "owner")):
        assert child.post(f"/sync/{stream}", headers={"X-Locker-Actor": actor}).status_code == 202
    go.touch()
    child.sync("second")

    assert ["the core", "the owner"] == names
    assert "the owner" == child.records("thing")["for whom"]["value"]["name"]


def test_deleted_rows_leave_their_history(play: Callable[..., Child]) -> None:
    """The record is gone from the current state and stays in the past."""
    child = play(first=[ROWS, [["delete", 1]]])
    child.sync("first")

    assert 1 == child.sync("first")[0]["deleted"]
    assert {"0", "2"} == set(child.records("thing"))
    assert ["delete", "put"] == [f["action"] for f in child.get("/records/thing/1/history").json()["facts"]]


def test_a_put_says_more_than_a_row(play: Callable[..., Child]) -> None:
    """Type, key, shared fields and moment may be given; a key path may lead into the value."""
    given = {"type": "thing", "value": {"n": 1}, "key": "a/b", "common": {"title": "T"}, "at": 1000.0}
    child = play(second=[[["put", given], ["put", {"type": "part", "value": {"name": {"first": "Ada"}}}]]])
    child.sync("second")
    record = child.records("thing")["a/b"]

    assert ({"title": "T"}, 1000.0) == (record["common"], record["at"])
    assert record == child.get(record["href"].removeprefix("/Me/puppet")).json()
    assert {"Ada"} == set(child.records("part"))


def test_primary_key_zero(play: Callable[..., Child]) -> None:
    """0 is a key like any other; a row without one is set aside and the rest goes on."""
    rows: list[Any] = [["row", {"id": 0}], ["row", {"name": "no key"}], ["row", {"id": True}], ["row", {"id": 7}]]
    child = play(first=[rows])
    run = child.sync("first")[0]

    assert {"0", "7"} == set(child.records("thing"))
    assert (2, 2, "partial") == (run["new"], run["quarantined"], run["status"])


def test_ids_beyond_2_53_are_exact(play: Callable[..., Child]) -> None:
    """Big numbers stay what they are, as keys and as values."""
    child = play(first=[[["row", {"id": 2**64 + 1, "name": str(2**53 + 1)}]]])
    child.sync("first")

    assert {str(2**64 + 1)} == set(child.records("thing"))


def test_a_yielded_bad_record_is_counted_and_spares_the_rest(play: Callable[..., Child]) -> None:
    """Errors may be yielded as values beside good rows."""
    run = play(first=[[ROWS[0], ["bad", "row 2 has no date"], ROWS[1]]]).sync("first")[0]

    assert (2, 1, "partial") == (run["new"], run["quarantined"], run["status"])


def test_the_log_tells_what_went_wrong(play: Callable[..., Child]) -> None:
    """The run's problem, and each record that was not set aside before, by type, key and reason."""
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    odd = ["put", {"type": "thing", "key": "k7", "value": {"deep": deep}}]
    child = play(first=[[odd, ["partial", "page two is away"]]])
    child.sync("first")
    child.sync("first")
    lines = child.log

    assert 2 == sum("run partial stream=first problem: page two is away" in line for line in lines)
    assert 1 == sum("record set aside stream=first type=thing key='k7': " in line for line in lines)


def test_the_log_tells_of_so_many_only(play: Callable[..., Child]) -> None:
    """A source that went bad altogether does not fill the log."""
    child = play(first=[[["bad", f"row {n}"] for n in range(ASIDE_TOLD_MAX + 1)]])
    child.sync("first")

    assert ASIDE_TOLD_MAX == sum("record set aside stream=first" in line for line in child.log)
    assert f"more records were set aside stream=first quarantined={ASIDE_TOLD_MAX + 1}" in "\n".join(child.log)


def test_the_cursor_is_given_back(play: Callable[..., Child]) -> None:
    """A stream resumes where it left off, over restarts too."""
    child = play(first=[[*ROWS, ["cursor", {"page": 2}]], []])
    child.sync("first")
    child.sync("first")
    child.stop()

    assert ["cursor=None", "cursor={'page': 2}"] == _cursors(child)


def test_parts_of_a_stream_have_their_own_cursors(play: Callable[..., Child], core: FakeCore, connectors: Path) -> None:
    """One stream may read many sources."""
    child = play(first=[[["cursor", 1, {"part": "a"}], ["cursor", 2, {"part": "b"}], ["cursor", 3]]])

    assert "ok" == child.sync("first")[0]["status"]


def test_after_a_cursor_everything_before_it_is_on_disk(play: Callable[..., Child]) -> None:
    """The line after `yield Cursor(…)` may tell the source that it is taken."""
    child = play(first=[[*ROWS, ["cursor", 1], ["wait_for", "go"]]])
    child.post("/sync/first")
    _until(lambda: len(child.records("thing")) == 3)
    (child.folder / "go").touch()

    assert "ok" == child.sync("first")[0]["status"]


@pytest.mark.parametrize(
    ("step", "status", "problem"),
    [
        (["raise", "RateLimited", "slow down", {"retry_after_s": 3600}], "failed", "rate_limited"),
        (["raise", "Offline", "no network"], "failed", "offline"),
        (["raise", "Reauthorise", "token expired"], "held", "reauthorise"),
        (["raise", "UserActionNeeded", "accept the terms"], "held", "user_action_needed"),
        (["raise", "StorageFull", "disk"], "held", "storage_full"),
        (["raise", "BadRecord", "raised, not yielded"], "failed", "broken"),
        (["break", "x"], "failed", "broken"),
        (["timeout"], "failed", "offline"),
        (["json"], "failed", "retry"),
        (["yield", "a string"], "failed", "broken"),
        (["put", {"type": "undeclared", "value": {}}], "failed", "broken"),
    ],
)
def test_failed_sync_reschedules(
    play: Callable[..., Child], core: FakeCore, step: list[Any], status: str, problem: str
) -> None:
    """Whatever ends a run, it has a status, a problem and a next time at the core."""
    child = play(first=[[step]])
    run = child.sync("first")[0]

    assert (status, problem) == (run["status"], run["problem"]["type"])
    assert ["/sync/first"] == [at["path"] for at in core.asked("at")]
    assert core.asked("at")[0]["at"] > time.time()
    assert run["status"] == child.get("/status").json()["streams"]["first"]["run"]["status"]


def test_retry_after_is_respected(play: Callable[..., Child], core: FakeCore) -> None:
    """The next run waits at least as long as the source asked, and not much longer."""
    play(first=[[["raise", "RateLimited", "slow down", {"retry_after_s": 7200}]]]).sync("first")
    wait_s = core.asked("at")[0]["at"] - time.time()

    assert 7190 < wait_s < 7200 * 1.06


def test_a_good_run_asks_for_the_declared_time(play: Callable[..., Child], core: FakeCore) -> None:
    """By the manifest's frequency, by the stream's own word, or sooner when there is more."""
    child = play(first=[[]], second=[[]], aside=[[["again", 5]]])
    for name in ("first", "second", "aside"):
        child.sync(name)
    waits = {at["path"]: at["at"] - time.time() for at in core.asked("at")}

    assert 560 < waits["/sync/first"] < 640
    assert 6800 < waits["/sync/second"] < 7600
    assert 0 < waits["/sync/aside"] < 6


def test_a_fault_of_one_stream_spares_the_others(play: Callable[..., Child]) -> None:
    """A broken function, or one nobody wrote, fails alone."""
    runs = play(first=[[["break", "x"]]], second=[[["put", {"type": "thing", "value": {"id": 1}}]]]).sync()

    assert {"first": "failed", "second": "ok", "aside": "ok", "missing": "failed"} == {
        run["stream"]: run["status"] for run in runs
    }


def test_what_came_before_a_fault_is_kept(play: Callable[..., Child]) -> None:
    """Rows and cursors before an error stay; the run is partial, since some of it is done."""
    child = play(first=[[*ROWS, ["cursor", 3], ["raise", "Offline", "gone"]]])
    run = child.sync("first")[0]

    assert ("partial", 3, "offline") == (run["status"], run["new"], run["problem"]["type"])
    assert 3 == len(child.records("thing"))


def test_a_partial_run_says_what_failed(play: Callable[..., Child]) -> None:
    """A part of the source failed, the rest went on."""
    run = play(first=[[["partial", "one page of two"], *ROWS]]).sync("first")[0]

    assert ("partial", "one page of two", 3) == (run["status"], run["problem"]["detail"], run["new"])


def test_a_run_that_read_nothing_failed(play: Callable[..., Child]) -> None:
    """What was noted of the failure, though stored, is no success; the next run is due by the frequency."""
    run = play(first=[[*ROWS, ["partial", "both pages", True]]]).sync("first")[0]

    assert ("failed", "both pages", 3) == (run["status"], run["problem"]["detail"], run["new"])


def test_a_secret_in_an_unexpected_error_is_not_told(play: Callable[..., Child]) -> None:
    """The text of a foreign exception may hold anything: only its class is told."""
    child = play(first=[[["break", "the-secret-of-somebody"]]])
    run = child.sync("first")[0]

    assert "KeyError" in run["problem"]["detail"]
    assert "the-secret-of-somebody" not in str(run)


def test_failures_wait_longer_and_longer(play: Callable[..., Child], core: FakeCore) -> None:
    """Backoff with full jitter: the ceiling doubles, over restarts too."""
    child = play(first=[[["raise", "Offline", "no"]]])
    for _ in range(8):
        child.sync("first")
    waits = [at["at"] - time.time() for at in core.asked("at")]

    assert all(wait <= 30 * 2**n + 1 for n, wait in enumerate(waits))
    assert max(waits) > 30


def test_notes_reach_the_diary(play: Callable[..., Child], core: FakeCore) -> None:
    """A sentence for the owner, with its level."""
    play(first=[[["note", "the source changed its terms"]]]).sync("first")

    assert [{"message": "the source changed its terms", "level": 1}] == core.asked("diary")


def test_one_run_per_stream_at_a_time(play: Callable[..., Child]) -> None:
    """A second call joins the run that goes on: both get its result, the source is asked once."""
    child = play(first=[[*ROWS, ["wait_for", "go"]]])
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(child.sync, "first") for _ in range(2)]
        _until(lambda: child.get("/status").json()["streams"]["first"]["state"] == "running")
        (child.folder / "go").touch()
        one, two = [call.result() for call in calls]

    assert one == two
    assert "1" == (child.folder / "first.runs").read_text()


def test_streams_run_one_after_another_unless_declared(play: Callable[..., Child]) -> None:
    """The second waits for the first; the parallel one does not."""
    child = play(first=[[["wait_for", "go"]]], second=[[]], aside=[[]])
    child.post("/sync")
    wanted = ("running", "queued", "idle")  # of first, second and aside
    _until(lambda: _states(child)[:3] == wanted and child.get("/status").json()["streams"]["aside"]["run"])

    assert wanted == _states(child)[:3]
    (child.folder / "go").touch()
    _until(lambda: child.get("/status").json()["streams"]["second"]["run"] is not None)


def test_sync_without_waiting_answers_202(play: Callable[..., Child]) -> None:
    """The scheduler does not wait; `wait_s` that runs out is no error either."""
    child = play(first=[[["wait_for", "go"]]])
    at_once, patient = child.post("/sync/first"), child.post("/sync/first?wait_s=0.2")
    (child.folder / "go").touch()

    assert (202, 202) == (at_once.status_code, patient.status_code)
    assert "running" == patient.json()["runs"][0]["status"]
    assert 200 == child.post("/sync/first?wait_s=20").status_code


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/sync/nothing", 404),
        ("/sync/first/more", 404),
        ("/sync?wait_s=no", 400),
        ("/sync?wait_s=601", 400),
        ("/sync?wait_s=-1", 400),
        ("/sync?wait_s=nan", 400),
        ("/sync?force=1", 400),
        ("/sync?wait_s=1&wait_s=2", 400),
    ],
)
def test_a_wrong_call_is_refused(play: Callable[..., Child], path: str, status: int) -> None:
    """With the reason, as a problem document."""
    answer = play().post(path)

    assert status == answer.status_code
    assert answer.json()["detail"]


def test_get_cannot_change_state(play: Callable[..., Child], core: FakeCore) -> None:
    """A run is started by POST alone."""
    answer = play().get("/sync/first")

    assert (405, "POST") == (answer.status_code, answer.headers["Allow"])
    assert [] == core.asked("hold")


def test_a_run_holds_the_process_and_lets_go(play: Callable[..., Child], core: FakeCore) -> None:
    """A running sync keeps its process; an ended one does not, whatever ended it."""
    play(first=[[["break", "x"]]]).sync("first")
    calls = [(call.method, call.body["reason"]) for call in core.calls if call.what == "hold"]

    assert [("POST", "sync first"), ("DELETE", "sync first")] == calls


def test_the_core_is_told_of_commits(play: Callable[..., Child], core: FakeCore) -> None:
    """The last position is told in the end, in fewer calls than there were commits."""
    steps = [step for n in range(40) for step in (["row", {"id": n}], ["cursor", n])]
    child = play(first=[steps])
    child.sync("first")
    core.wait_for(lambda: core.asked("committed") and core.asked("committed")[-1]["seq"] == 40)

    assert len(core.asked("committed")) < 20


def test_losing_the_core_does_not_lose_a_run(play: Callable[..., Child], core: FakeCore) -> None:
    """Hold, tell, at and diary may all be refused: the records are kept and the run is ok."""
    for what in ("hold", "committed", "at", "diary"):
        core.refuse(what, Forbidden("not you"))
    child = play(first=[[*ROWS, ["note", "hello"]]])

    assert ("ok", 3) == (child.sync("first")[0]["status"], len(child.records("thing")))


def test_runs_are_remembered(play: Callable[..., Child], core: FakeCore, connectors: Path) -> None:
    """The last run and its counts are there after a restart."""
    child = play(first=[ROWS])
    child.sync("first")
    child.stop()
    child = core.start(connectors / "puppet")
    run = child.get("/status").json()["streams"]["first"]["run"]

    assert ("ok", 3) == (run["status"], run["new"])


def test_the_password_is_given_and_not_shown(play: Callable[..., Child], core: FakeCore, connectors: Path) -> None:
    """no_plain_secret_on_disk: a secret setting is nowhere in the working directory."""
    child = core.start(connectors / "puppet", settings={"script": {"first": [ROWS]}, "password": "s3cr3t-of-mine"})
    child.sync("first")
    child.stop()
    holding = [p for p in child.folder.rglob("*") if p.is_file() and b"s3cr3t-of-mine" in p.read_bytes()]

    assert [] == holding


def _cursors(child: Child) -> list[str]:
    return [line.split(": ", 1)[1].split(" password")[0] for line in child.log if "cursor=" in line]


def _states(child: Child) -> tuple[str, ...]:
    return tuple(stream["state"] for stream in child.get("/status").json()["streams"].values())


def _until(condition: Callable[[], Any], *, timeout_s: float = 10.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)

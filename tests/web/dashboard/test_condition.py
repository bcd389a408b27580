"""How a service is, in one sentence with one button."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from core.model import errors
from core.model.errors import Interrupted, LockerError, NotFound, RunMissing
from core.model.manifest import Manifest, parse_manifest
from core.model.problem import problem_document
from core.registry import Service
from core.schedule import Pending
from core.schedule.plan import TRIES_MAX
from core.store import Run
from core.web import ChildState
from core.web.dashboard.condition import SENTENCE_LENGTH_MAX, Condition, condition_of, last_of_each, next_sync
from core.web.dashboard.words import Words
from tests.web.samples import FEEDS, pending
from tests.web.samples import run as a_run
from tests.web.samples import service as a_service

NOW = 1_000_000.0
SERVICE = a_service("feeds", "feeds", "Feeds")
MANIFEST = parse_manifest(FEEDS, "/c/feeds")


def condition(
    *,
    service: Service = SERVICE,
    manifest: Manifest | None = MANIFEST,
    state: ChildState | None = None,
    runs: Sequence[Run] = (),
    holds: Sequence[str] = (),
    calls: Sequence[Pending] = (),
    fault: str = "",
    rest: str = "",
    obstacle: LockerError | None = None,
) -> Condition:
    """The condition of a service of which all else is well."""
    return condition_of(
        service,
        manifest,
        state=state or ChildState("stopped"),
        holds=holds,
        runs=runs,
        pending=calls,
        fault=fault,
        obstacle=obstacle,
        words=Words(NOW, ZoneInfo("UTC")),
        rest=rest,
    )


def run(status: str = "ok", *, ago: float = 60, stream: str = "entry", problem: Mapping[str, Any] | None = None) -> Run:
    """A run that began some seconds ago."""
    return a_run(stream, NOW - ago, NOW - ago + 5, status=status, problem=problem)


def test_a_new_service() -> None:
    """Nothing has run, nothing is wrong."""
    assert ("idle", "New", False) == (condition().tone, condition().label, condition().is_problem)


@pytest.mark.parametrize(("kind", "label"), [("user_action_needed", "Needs you"), ("storage_full", "Held")])
def test_what_waits_for_the_owner_says_so(kind: str, label: str) -> None:
    """With the way to the settings, and the advice beside it."""
    told = condition(runs=[run("held", problem={"type": kind, "detail": "no feed yet", "remedy": "add one"})])

    assert (label, "No feed yet.", "Add one.") == (told.label, told.sentence, told.remedy)


def test_all_is_well() -> None:
    """No sentence where there is nothing to say."""
    assert Condition("ok", "Up to date") == condition(runs=[run()])


def test_what_keeps_it_from_working_comes_first() -> None:
    """Missing before switched off before failed before a bad run."""
    bad = [run("failed", problem={"type": "offline"})]
    failed = ChildState("failed", "child_died", "it ended", None, 1)
    off = msgspec.structs.replace(SERVICE, enabled=False)

    assert ["Cannot be read", "Connector missing", "Switched off", "Failed", "Sync failed"] == [
        condition(service=off, manifest=None, fault="the file is damaged").label,
        condition(service=off, manifest=None, state=failed, runs=bad).label,
        condition(service=off, state=failed, runs=bad).label,
        condition(state=failed, runs=bad).label,
        condition(runs=bad).label,
    ]


def test_packages_that_are_missing_can_be_installed() -> None:
    """The deed that installs them is offered, although the service is on and its last sync was well."""
    told = condition(runs=[run()], obstacle=RunMissing("the packages of x are not installed", remedy="Enable."))

    assert ("Packages missing", "The packages of x are not installed.", "enable") == (
        told.label, told.sentence, told.action,
    )  # fmt: skip


def test_a_connector_with_faults_says_which() -> None:
    """With the file to correct."""
    told = condition(
        manifest=None, obstacle=NotFound("x cannot be used: provdes: is no key", remedy="Correct /c/x/connector.toml.")
    )

    assert "provdes: is no key" in told.sentence
    assert "Correct /c/x/connector.toml." == told.remedy


def test_a_crash_says_when_the_next_try_is() -> None:
    """The reason, the time, and the way to have it at once."""
    found = condition(state=ChildState("failed", "child_died", "feeds ended with exit code 1", NOW + 90, 3))

    assert ("bad", "Feeds ended with exit code 1. The next try is in 1 min.", "Restart", "restart") == (
        found.tone,
        found.sentence,
        found.button,
        found.action,
    )


def test_a_paused_service_is_resumed() -> None:
    """Only what keeps it from answering matters more; a run that failed before does not."""
    paused = msgspec.structs.replace(SERVICE, paused=True)
    found = condition(service=paused, runs=[run("failed", problem={"type": "offline"})], holds=["sync entry"])

    assert ("Paused", "resume", False) == (found.label, found.action, found.is_problem)
    assert "Failed" == condition(service=paused, state=ChildState("failed", "child_died")).label
    assert "Switched off" == condition(service=msgspec.structs.replace(paused, enabled=False)).label


def test_what_rests_since_a_restore_waits_for_the_take_over() -> None:
    """There is no button for it: whether another device goes on is not seen from here."""
    found = condition(service=msgspec.structs.replace(SERVICE, paused=True), rest="restore --take-over")

    assert ("Resting", "", "To take over, run: restore --take-over") == (found.label, found.action, found.remedy)


def test_syncing_is_not_a_problem() -> None:
    """Even after a run that failed: it is being tried."""
    assert Condition("busy", "Syncing") == condition(
        state=ChildState("running"), runs=[run("failed")], holds=["watching", "sync entry"]
    )


def test_a_newer_run_of_the_same_stream_heals() -> None:
    """Only the last run of each stream counts."""
    healed = [run("ok", ago=10), run("failed", ago=90)]
    other = [*healed, run("failed", ago=200, stream="feed")]

    assert ["ok", "bad"] == [condition(runs=healed).tone, condition(runs=other).tone]


@pytest.mark.parametrize(
    ("kind", "tone", "action"),
    [
        ("settings_invalid", "bad", "settings"),
        ("auth_required", "bad", "settings"),
        ("offline", "warn", "sync"),
        ("rate_limited", "warn", ""),
        ("storage_full", "warn", "sync"),
        ("broken", "bad", "log"),
        ("never heard of", "bad", "log"),
    ],
)
def test_the_button_follows_from_the_error(kind: str, tone: str, action: str) -> None:
    """What passes by itself warns; what needs the owner leads to where it is mended."""
    found = condition(runs=[run("failed", problem={"type": kind, "detail": "it happened"})])

    assert (tone, action, "It happened.") == (found.tone, found.action, found.sentence)


def test_held_and_partial() -> None:
    """Nothing is lost, and the owner should look."""
    held = condition(runs=[run("held")])
    partial = condition(runs=[run("partial", problem={"type": "bad_record", "detail": "2 records could not be read"})])

    assert ("warn", "Held", "Much of entry vanished at the source, so nothing was deleted here.") == (
        held.tone,
        held.label,
        held.sentence,
    )
    assert ("Partly synced", "2 records could not be read.") == (partial.label, partial.sentence)


def test_what_was_broken_off_says_so_and_can_go_on() -> None:
    """The log knows no more than the sentence: the button syncs."""
    found = condition(runs=[run("partial", problem=problem_document(Interrupted("Locker stopped")))])

    assert ("Locker stopped.", "Go on now", "sync") == (found.sentence, found.button, found.action)
    assert "soon after the next start" in found.remedy


def test_what_was_set_aside_was_read() -> None:
    """A partial run without a problem says how many records it set aside."""
    found = condition(runs=[msgspec.structs.replace(run("partial"), quarantined=2)])

    assert "2 records could not be stored and were set aside." == found.sentence


def test_sentences_are_bounded_and_names_stay_as_they_are() -> None:
    """A host at the beginning keeps its small letter; a flood of text is cut; blanks are one."""
    host = condition(runs=[run("failed", problem={"detail": "example.org  is\ngone"})]).sentence
    long = condition(runs=[run("failed", problem={"detail": "word " * 5000})]).sentence

    assert "example.org is gone." == host
    assert (SENTENCE_LENGTH_MAX, "…") == (len(long), long[-1])


def test_every_problem_has_a_way_on() -> None:
    """Whatever error a run ends with, what is shown has a sentence, and a button unless it passes by itself."""
    kinds: list[type[LockerError]] = [
        k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, LockerError)
    ]
    for kind in kinds:
        found = condition(runs=[run("failed", problem={"type": kind.code, "title": kind.title})])
        assert found.sentence
        assert bool(found.button) == bool(found.action) == (kind.code != "rate_limited")


def test_the_next_sync() -> None:
    """Of one stream or of any; other calls do not count, nor do streams whose names begin alike."""
    calls = [
        pending("feeds", "/sync/entry", 30),
        pending("feeds", "/sync/entry_old", 10),
        pending("feeds", "/synchro", 1),
        pending("feeds", "/other", 2),
        pending("feeds", "/sync/feed?x=1", 20),
    ]
    found = [next_sync(calls), next_sync(calls, "entry"), next_sync(calls, "feed"), next_sync(calls, "none")]

    assert [10, 30, 20, None] == [one.at if one else None for one in found]


def test_a_sync_that_cannot_begin() -> None:
    """No run tells of it, so the call does: tried again by itself, then by the owner."""
    failing = pending("feeds", "/sync/entry", NOW + 60, tries=2, last_problem="feeds wrote nothing within 15 s")
    given_up = msgspec.structs.replace(failing, tries=TRIES_MAX)
    other = pending("feeds", "/else", NOW + 60, tries=2, last_problem="it answered 500")

    assert [("warn", "Sync failed"), ("bad", "Sync stopped"), ("ok", "Up to date")] == [
        (found.tone, found.label)
        for found in (condition(runs=[run()], calls=[one]) for one in (failing, given_up, other))
    ]


def test_last_of_each() -> None:
    """One run a stream, by its name."""
    assert [("a", NOW - 1), ("b", NOW - 3)] == [
        (one.stream, one.started_at)
        for one in last_of_each([run(ago=2, stream="a"), run(ago=3, stream="b"), run(ago=1, stream="a")])
    ]

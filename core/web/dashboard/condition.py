"""How a service is, in one sentence with one button. Pure: what is known of it in, a condition out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.model.errors import Interrupted, LockerError
from core.model.manifest import Manifest
from core.registry import Service
from core.schedule import Pending
from core.store import Run
from core.web.dashboard.values import plain
from core.web.dashboard.words import Words
from core.web.parts import ChildState

SENTENCE_LENGTH_MAX = 2000
PARTS_SHOWN_MAX = 20
# What mends a problem follows from its kind, which is the error's class.
_ACTIONS = {
    "settings_invalid": ("Correct the settings", "settings"),
    "auth_required": ("Open the settings", "settings"),
    "reauthorise": ("Open the settings", "settings"),
    "key_missing": ("Open the settings", "settings"),
    "run_missing": ("Restart", "restart"),
    "rate_limited": ("", ""),
    "interrupted": ("Go on now", "sync"),
    "offline": ("Try again", "sync"),
    "retry": ("Try again", "sync"),
    "storage_full": ("Try again", "sync"),
    "too_busy": ("Try again", "sync"),
}
# A sync that is held for one of these waits for its owner.
_OWNERS = frozenset({"user_action_needed", "settings_invalid", "auth_required", "reauthorise", "key_missing"})


@dataclass(frozen=True)
class Condition:
    """The state in a word, what it means in a sentence, and the one thing to do about it.

    `tone` is ok, busy, idle, warn, bad or off. `action` is `settings`, `log`, `faults` (pages) or `restart`,
    `enable`, `resume`, `sync` (deeds), or empty where nothing need be done. `remedy` is advice beside that; `parts`
    are what the sentence sums up, each by its name; `stream` is the one of whose last run the sentence speaks.
    """

    tone: str
    label: str
    sentence: str = ""
    button: str = ""
    action: str = ""
    remedy: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    stream: str = ""

    @property
    def is_problem(self) -> bool:
        """Whether the owner should look."""
        return self.tone in ("warn", "bad")


def condition_of(
    service: Service,
    manifest: Manifest | None,
    *,
    state: ChildState,
    holds: Sequence[str],
    runs: Sequence[Run],
    pending: Sequence[Pending],
    fault: str,
    obstacle: LockerError | None,
    words: Words,
    rest: str = "",
) -> Condition:
    """The condition that matters most: what keeps the service from working, else how its last runs went.

    `rest` is what the owner types to take over, where the service rests since a restore.
    """
    if fault:
        return Condition("bad", "Cannot be read", sentence_of(fault), "See the log", "log")
    if manifest is None:
        sentence = f"Its connector, {service.connector}, is missing or has faults. What it holds is safe."
        return replace(_obstructed(obstacle, sentence), label="Connector missing", action="faults")
    if not service.enabled:
        return Condition("off", "Switched off", "It does not sync, and nobody can reach it.", "Switch on", "enable")
    if obstacle is not None:
        told = _obstructed(obstacle, "")
        return replace(told, label="Packages missing", button="Install them", action="enable", remedy="")
    if state.name == "failed":
        return _failed(state, words)
    if rest:
        sentence = "It came back from a backup, and does not sync until this device takes over."
        return Condition("off", "Resting", sentence, remedy=f"To take over, run: {rest}")
    if service.paused:
        return Condition("off", "Paused", "It answers, and does not sync until you resume it.", "Resume", "resume")
    if is_syncing(holds):
        return Condition("busy", "Syncing")
    troubled = [run for run in last_of_each(runs) if run.status in ("failed", "held", "partial")]
    if troubled:
        return _troubled(max(troubled, key=lambda run: (run.status != "partial", run.started_at)))
    uncalled = [entry for entry in pending if entry.last_problem is not None and _is_sync(entry.path)]
    if uncalled:
        return _uncalled(max(uncalled, key=lambda entry: entry.tries))
    if state.name in ("starting", "stopping"):
        return Condition("busy", state.name.capitalize())
    if not runs and manifest.streams:
        return Condition("idle", "New", "Its first sync has not run yet.")
    return Condition("ok", "Up to date" if runs else "Ready")


def is_syncing(holds: Sequence[str]) -> bool:
    """Whether the child keeps itself awake for a sync."""
    return any(reason.startswith("sync") for reason in holds)


def last_of_each(runs: Iterable[Run]) -> list[Run]:
    """The newest run of each stream."""
    newest: dict[str, Run] = {}
    for run in runs:
        if run.stream not in newest or run.started_at > newest[run.stream].started_at:
            newest[run.stream] = run
    return [newest[stream] for stream in sorted(newest)]


def next_sync(pending: Iterable[Pending], stream: str | None = None) -> Pending | None:
    """The next call that syncs, of one stream or of any."""
    path = "/sync" if stream is None else f"/sync/{stream}"
    wanted = [entry for entry in pending if _is_sync(entry.path, path)]
    return min(wanted, key=lambda entry: entry.at, default=None)


def _is_sync(called: str, path: str = "/sync") -> bool:
    return called == path or called.startswith((f"{path}/", f"{path}?"))


def _uncalled(entry: Pending) -> Condition:
    """A sync that could not even begin."""
    sentence = sentence_of(entry.last_problem) or "It did not take the call."
    if entry.is_given_up:
        return Condition("bad", "Sync stopped", f"{sentence} It was tried {entry.tries} times.", "Try again", "sync")
    return Condition("warn", "Sync failed", sentence, "Try again", "sync")


def _obstructed(obstacle: LockerError | None, sentence: str) -> Condition:
    """What must be mended first, before or after a sentence of ours."""
    detail, remedy = (sentence_of(obstacle.detail), sentence_of(obstacle.remedy)) if obstacle else ("", "")
    told = " ".join(filter(None, (sentence, detail)))
    return Condition("bad", "", told, "See what is wrong", remedy=remedy)


def _failed(state: ChildState, words: Words) -> Condition:
    detail = sentence_of(state.detail) or "Its process ended."
    if state.until is not None and state.until > words.now:
        detail = f"{detail} The next try is {words.until(state.until)}."
    button, action = _ACTIONS.get(state.reason, ("Restart", "restart"))
    return Condition("bad", "Failed", detail, button or "Restart", action or "restart")


def _troubled(run: Run) -> Condition:
    problem: Mapping[str, Any] = run.problem or {}
    remedy = sentence_of(problem.get("remedy") or "")
    return replace(_outcome(run, problem), remedy=remedy, parts=parts_of(problem), stream=run.stream)


def parts_of(problem: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What a problem sums up, each as its name and a sentence; a connector may have written anything."""
    told = problem.get("parts")
    named = [part for part in told[:PARTS_SHOWN_MAX] if isinstance(part, Mapping)] if isinstance(told, list) else []
    return tuple((_short(part.get("name", "")), sentence_of(part.get("detail", ""))) for part in named)


def _outcome(run: Run, problem: Mapping[str, Any]) -> Condition:
    sentence = sentence_of(problem.get("detail") or problem.get("title") or "")
    if run.status == "partial":
        is_interrupted = str(problem.get("type", "")) == Interrupted.code
        button, action = _ACTIONS[Interrupted.code] if is_interrupted else ("See the log", "log")
        return Condition("warn", "Partly synced", sentence or _partly(run), button, action)
    if run.status == "held":
        if str(problem.get("type", "")) in _OWNERS:
            return Condition("warn", "Needs you", sentence or "You have to do something first.", "Settings", "settings")
        held = sentence or f"Much of {run.stream} vanished at the source, so nothing was deleted here."
        return Condition("warn", "Held", held, "See the log", "log")
    button, action = _ACTIONS.get(str(problem.get("type", "")), ("See the log", "log"))
    tone = "warn" if action in ("sync", "") else "bad"
    return Condition(tone, "Sync failed", sentence or "The last sync failed.", button, action)


def _partly(run: Run) -> str:
    """What a run of no problem of its own lacks: what was read and set aside, else what nobody told."""
    if not run.quarantined:
        return "Some of it could not be read."
    return (
        "1 record could not be stored and was set aside."
        if run.quarantined == 1
        else f"{run.quarantined} records could not be stored and were set aside."
    )


def _short(text: object) -> str:
    return plain(" ".join(str(text).split()), SENTENCE_LENGTH_MAX)


def sentence_of(text: object) -> str:
    """The text as a sentence, bounded: it begins with a capital, unless with a name, and ends with a full stop.

    >>> sentence_of("the list is not XML"), sentence_of("news.example.org is away")
    ('The list is not XML.', 'news.example.org is away.')
    """
    words = _short(text)
    if not words:
        return ""
    first = words.partition(" ")[0]
    # A name such as news.example.org or mail-work stays as it is written.
    start = words[0].upper() + words[1:] if first.rstrip(",:;").isalpha() else words
    return start + ("" if words[-1] in ".!?…" else ".")

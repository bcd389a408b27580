"""What is due when: pure decisions over pending calls; the moment and the dice come in as arguments."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal
from urllib.parse import unquote

import msgspec

from core.model.errors import BadRequest, LockerError, NotFound, Reauthorise, UserActionNeeded

DAY_S = 86_400.0
AHEAD_S_MAX = 366 * DAY_S
PATH_CHARS_MAX = 1024
PROBLEM_CHARS_MAX = 500
CALLS_MAX = 8
CALLS_PER_SERVICE_MAX = 2
RETRY_FIRST_S = 30.0
RETRY_MAX_S = 3600.0
RETRY_LEAST_S = 1.0
TRIES_MAX = 12
UNANSWERED_S = 600.0
SPREAD_S = 60.0
STEP_S = 5.0
LATE_S = 90.0

_NUMBER = re.compile(r"\d{1,12}(\.\d{1,9})?")
_PATH = re.compile(r"/[A-Za-z0-9_.~%!$&'()*+,;=:@/-]*(\?[A-Za-z0-9_.~%!$&'()*+,;=:@/?-]*)?")
_STREAM = re.compile(r"/sync/([a-z][a-z0-9_]{0,63})")


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is due at a time; one per service and path.

    `asked` came from the child, `fallback` from the core: a stream's regular turn, a retry, or the entry that
    stands in while a call is under way (then `tries` counts that call and `last_problem` is None).
    """

    service: str
    path: str
    at: float
    kind: Literal["asked", "fallback"]
    tries: int = 0
    last_problem: str | None = None

    @property
    def stream(self) -> str | None:
        """The stream that this call starts, if its path is /sync/<stream>."""
        match = _STREAM.fullmatch(self.path)
        return match[1] if match else None

    @property
    def is_given_up(self) -> bool:
        """Whether it failed so often that it waits for a person, or for the child to ask again."""
        return self.tries >= TRIES_MAX and self.last_problem is not None

    @property
    def place(self) -> tuple[str, str]:
        """What there is one entry of."""
        return self.service, self.path


class Verdict(Enum):
    """What a call's answer means for the next one."""

    DONE = "done"
    FAILED = "failed"
    OWNER_NEEDED = "owner needed"


@dataclass(frozen=True)
class Answer:
    """How a call went, with the sentence that is shown and the wait that was asked for."""

    verdict: Verdict
    problem: str | None = None
    retry_after_s: float = 0.0


def parse_at(value: object, *, now: float) -> float:
    """The moment that a caller asked for, not before `now`; raises BadRequest for what is no moment.

    Decimal text is read too, since forms send nothing else.
    """
    number = float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
        raise BadRequest("at is not a number of seconds since 1970", remedy="Send at as epoch seconds, in UTC.")
    if not 0 <= number <= now + AHEAD_S_MAX:
        raise BadRequest(
            "at lies before 1970 or more than a year ahead", remedy="Send epoch seconds, not milliseconds."
        )
    return max(float(number), now)


def parse_path(value: object) -> str:
    """A path below the service's own address; raises BadRequest for anything that could lead elsewhere."""
    if not isinstance(value, str) or len(value) > PATH_CHARS_MAX or not _PATH.fullmatch(value):
        raise BadRequest(
            f"the path must begin with /, hold only characters of a URL and at most {PATH_CHARS_MAX} of them",
            remedy="Send a path as the connector serves it, such as /sync/entry.",
        )
    path = value.partition("?")[0]
    # Decoded twice, because one layer on the way may decode before the next one looks.
    plain = unquote(unquote(path)).replace("\\", "/")
    if path.startswith("//") or "://" in plain or ".." in plain.split("/"):
        raise BadRequest("the path leads outside the service", remedy="Leave out hosts and .. segments.")
    return value


def due(pending: Iterable[Pending], now: float) -> list[Pending]:
    """What should be called by now, the longest waiting first."""
    ready = [entry for entry in pending if entry.at <= now and not entry.is_given_up]
    return sorted(ready, key=lambda entry: (entry.at, entry.place))


def choose(ready: Sequence[Pending], under_way: Collection[tuple[str, str]]) -> list[Pending]:
    """Those of `ready` that may start beside the calls under way.

    Never two of one place at once; and few per service, so that one that hangs leaves room for the others.
    """
    busy = Counter(service for service, _ in under_way)
    chosen: list[Pending] = []
    for entry in ready:
        if len(under_way) + len(chosen) >= CALLS_MAX:
            break
        if entry.place not in under_way and busy[entry.service] < CALLS_PER_SERVICE_MAX:
            busy[entry.service] += 1
            chosen.append(entry)
    return chosen


def fired(entry: Pending, *, now: float, frequency_s: float | None) -> Pending:
    """The entry that replaces `entry` while its call is under way, so that no crash can lose the next one."""
    wait_s = UNANSWERED_S if frequency_s is None else frequency_s
    return msgspec.structs.replace(
        entry, at=now + wait_s, kind="fallback", tries=min(entry.tries + 1, TRIES_MAX), last_problem=None
    )


def settled(
    entry: Pending, answer: Answer, *, now: float, frequency_s: float | None, random_unit: float
) -> Pending | None:
    """What follows the call that `entry`, made by `fired`, stood in for; None when nothing does.

    A stream that failed `TRIES_MAX` times in a row goes on by its frequency; any other path is given up, visibly.
    """
    if answer.verdict is Verdict.DONE:
        return None if frequency_s is None else msgspec.structs.replace(entry, tries=0)
    if answer.verdict is Verdict.OWNER_NEEDED:
        wait_s = RETRY_MAX_S if frequency_s is None else max(frequency_s, RETRY_FIRST_S)
        return msgspec.structs.replace(entry, at=now + wait_s, tries=entry.tries - 1, last_problem=answer.problem)
    if entry.tries >= TRIES_MAX and frequency_s is not None:
        wait_s = max(frequency_s, RETRY_MAX_S)
        return msgspec.structs.replace(entry, at=now + wait_s, tries=0, last_problem=answer.problem)
    at = max(next_try(entry.tries, now=now, random_unit=random_unit), now + min(answer.retry_after_s, DAY_S))
    return msgspec.structs.replace(entry, at=at, last_problem=answer.problem)


def next_try(tries: int, *, now: float, random_unit: float) -> float:
    """When to call again after `tries` failures: exponential, with full jitter."""
    ceiling_s = min(RETRY_FIRST_S * 2.0 ** min(max(tries, 1) - 1, 30), RETRY_MAX_S)
    return now + max(RETRY_LEAST_S, ceiling_s * random_unit)


def spread(
    missed: Sequence[Pending], *, now: float, random_unit: Callable[[], float], window_s: float = SPREAD_S
) -> list[Pending]:
    """The missed calls over the next `window_s`, in their order, the first at once."""
    slot_s = window_s / max(len(missed), 1)
    return [
        msgspec.structs.replace(entry, at=now + slot_s * (place + random_unit()) if place else now)
        for place, entry in enumerate(missed)
    ]


def judge_status(status: int, *, is_of_no_stream: bool = False) -> Answer:
    """What the child's HTTP status says of the call.

    `is_of_no_stream`: it was to start a stream that the manifest does not name; a child that does not know it either
    settles the matter.
    """
    if 200 <= status < 300 or (status == NotFound.status and is_of_no_stream):
        return Answer(Verdict.DONE)
    if status == Reauthorise.status:
        return Answer(Verdict.OWNER_NEEDED, "it is not signed in")
    return Answer(Verdict.FAILED, f"it answered {status}")


def judge_error(error: Exception) -> Answer:
    """What an error on the way says of the call; the text of an unknown one may hold a secret and is left out."""
    if not isinstance(error, LockerError):
        return Answer(Verdict.FAILED, f"an unexpected {type(error).__name__}")
    needs_owner = isinstance(error, (Reauthorise, UserActionNeeded))
    verdict = Verdict.OWNER_NEEDED if needs_owner else Verdict.FAILED
    return Answer(verdict, f"{error.code}: {error.detail}"[:PROBLEM_CHARS_MAX], error.retry_after_s or 0.0)


def brought_near(entries: Iterable[Pending], streams: Collection[str], soon: float) -> list[tuple[Pending, Pending]]:
    """The turns of these streams that lie after `soon`, each with the same at that time.

    Those under way or met with a problem stay.
    """
    return [
        (entry, msgspec.structs.replace(entry, at=soon))
        for entry in entries
        if entry.stream in streams and entry.at > soon and entry.tries == 0 and entry.last_problem is None
    ]


def nearest(entry: Pending, *, now: float, frequency_s: float | None) -> Pending:
    """The entry, brought nearer where it lies farther ahead than the core puts any: the clock may have been wrong."""
    latest = now + max(frequency_s or 0.0, DAY_S)
    return entry if entry.kind == "asked" or entry.at <= latest else msgspec.structs.replace(entry, at=latest)


def step_between(earlier: tuple[float, float], later: tuple[float, float]) -> float:
    """How far the wall clock jumped between two (wall, monotonic) readings; 0.0 while both run alike."""
    step_s = (later[0] - earlier[0]) - (later[1] - earlier[1])
    return step_s if abs(step_s) >= STEP_S else 0.0

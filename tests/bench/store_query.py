"""Asking for records over HTTP: the core and a connector on the SDK, beside Datasette over the same records.

Both sides are real: a request goes through the core, which judges host and token, to the connector's process and its
store; Datasette asks nobody for a token. Each has the same records with an index over the language and the time, the
same words in FTS5, and every version; Datasette has today's records in a table and all versions in another one with
their spans, keyed by record and position. Its answers are told to come without counts and facets. The same questions
go to both in turns, over one kept-alive connection, and the answers were compared. Where a page comes with fewer
records than were asked for and leads on, the time is that of all requests until they are there.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from tests.bench import _machine
from tests.bench._datasette import QUICKLY, Datasette, Tables, sqlite_version
from tests.bench._lanes import Locker
from tests.bench._numbers import Samples, compared, figure
from tests.bench._report import Report, Table, arguments, say
from tests.bench._repos import BATCH, COMMON_WORDS, LANGUAGES, TYPES, batches, repo
from tests.bench._sides import Ours
from tests.bench._wire import Place, Wire

SERVICE = "repos"
OURS, PEER = "Locker", "Datasette"
EDITED_EACH, DELETED_EACH = 100, 1000
PAGE, FOUND = 100, 50
CHECK_S_MAX = 120.0
PAGES_MAX = 100
IN_SHORT = ("list,", "filter", "full text", "list as it was")
YEARS = range(2020, 2025)


@dataclass(frozen=True)
class Question:
    """The same thing asked of both, in a number of variants; `rows` and `ids` read an answer."""

    ours: Callable[[int], str]
    theirs: Callable[[int], str]
    is_alike: Callable[[Any, Any], bool]


def main() -> None:
    """Measure, and print the table."""
    told = arguments(__doc__, records=200_000, rounds=5, requests=40)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        house = Ours(place / "house")
        with house:
            house.install(SERVICE)
        before, position = _filled(house.me / SERVICE, place / "bench.db", told.records)
        say(f"{told.records} records are there")
        with house, Datasette(place / "bench.db") as peer:
            sides = {OURS: house.place(SERVICE), PEER: peer.place}
            asked = _questions(told.records, before, position)
            times = _asked(told, sides, asked)
    _report(told, times).publish(told)


def _filled(folder: Path, path: Path, count: int) -> tuple[float, int]:
    """Put the records into both, then some edits and deletions; the time and the position between."""
    ours, theirs = Locker(folder, TYPES), Tables(path)
    for batch in batches(count):
        ours.put(batch)
        theirs.put(batch)
    time.sleep(0.01)
    before = time.time()
    time.sleep(0.01)
    edited = [repo(number, 1) for number in range(0, count, EDITED_EACH)]
    gone = [repo(number) for number in range(1, count, DELETED_EACH)]
    for start in range(0, len(edited), BATCH):
        ours.put(edited[start : start + BATCH])
        theirs.put(edited[start : start + BATCH])
    for start in range(0, len(gone), BATCH):
        ours.delete(gone[start : start + BATCH])
    theirs.delete(record["id"] for record in gone)
    ours.close()
    theirs.close()
    return before, count


def _questions(count: int, before: float, position: int) -> Mapping[str, Question]:
    moment = quote(datetime.fromtimestamp(before, UTC).isoformat())
    valid = f"seq__lte={position}&until_seq__gt={position}"

    def key(turn: int) -> int:
        return 1_000_000 + turn * 7919 * EDITED_EACH % count

    def language(turn: int) -> str:
        return LANGUAGES[turn % len(LANGUAGES)]

    def span(turn: int) -> tuple[str, str]:
        year, month = YEARS[turn % len(YEARS)], turn % 12 + 1
        return f"{year}-{month:02d}-01T00:00:00Z", f"{year}-{month:02d}-15T00:00:00Z"

    def ours(query: str) -> str:
        return f"/records/repo?limit={PAGE}{query}"

    def theirs(query: str, table: str = "repo") -> str:
        return f"/{table}.json?_size={PAGE}&{QUICKLY}{query}"

    return {
        f"list, {PAGE} by key": Question(lambda _: ours(""), lambda _: theirs("&_sort=id"), _same_ids),
        f"filter on an indexed field, {PAGE}": Question(
            lambda turn: ours("&filter=" + quote(f'language == "{language(turn)}"')),
            lambda turn: theirs(f"&_sort=id&language={language(turn)}"),
            _same_ids,
        ),
        f"newest first, {PAGE}": Question(
            lambda _: ours("&order=newest"), lambda _: theirs("&_sort_desc=pushed_at"), _same_times
        ),
        f"type and a span of 14 days, newest first, {PAGE}": Question(
            lambda turn: ours(
                "&order=-pushed_at&filter=" + quote("pushed_at >= {} and pushed_at < {}".format(*span(turn)))
            ),
            lambda turn: theirs("&_sort_desc=pushed_at&pushed_at__gte={}&pushed_at__lt={}".format(*span(turn))),
            _same_times,
        ),
        f"full text, two common words, {FOUND}": Question(
            lambda _: f"/records/repo?limit={FOUND}&q={'+'.join(COMMON_WORDS)}",
            lambda _: f"/repo.json?_size={FOUND}&{QUICKLY}&_search={'+'.join(COMMON_WORDS)}",
            lambda mine, its: len(mine["records"][:FOUND]) == len(its["rows"]),
        ),
        "record by key": Question(
            lambda turn: f"/records/repo/{key(turn)}",
            lambda turn: f"/repo/{key(turn)}.json?_shape=objects",
            lambda mine, its: mine["value"]["stars"] == its["rows"][0]["stars"],
        ),
        "record as it was before 1 % were edited": Question(
            lambda turn: f"/records/repo/{key(turn)}?as_of={moment}",
            lambda turn: theirs(f"&id={key(turn)}&{valid}", "version"),
            lambda mine, its: mine["value"]["stars"] == its["rows"][0]["stars"],
        ),
        f"list as it was before, {PAGE} by key": Question(
            lambda _: ours(f"&as_of={moment}"), lambda _: theirs(f"&_sort=id&{valid}", "version"), _same_ids
        ),
        f"newest first as it was before, {PAGE}": Question(
            lambda _: ours(f"&order=newest&as_of={moment}"),
            lambda _: theirs(f"&_sort_desc=pushed_at&{valid}", "version"),
            _same_times,
        ),
    }


def _same_ids(mine: Any, its: Any) -> bool:
    return [record["value"]["id"] for record in mine["records"][:PAGE]] == [row["id"] for row in its["rows"]]


def _same_times(mine: Any, its: Any) -> bool:
    return [record["value"]["pushed_at"] for record in mine["records"][:PAGE]] == [
        row["pushed_at"] for row in its["rows"]
    ]


def _asked(
    told: argparse.Namespace, sides: Mapping[str, Place], asked: Mapping[str, Question]
) -> dict[str, dict[str, list[float]]]:
    """The ms of every answer, by question and side; the answers are compared first."""
    pages: dict[str, list[str]] = {}
    for name, question in asked.items():
        for turn in range(told.requests):
            mine = _whole(sides[OURS], question.ours(turn), pages)
            its = _answer(sides[PEER], question.theirs(turn))
            if not question.is_alike(mine, its):
                raise AssertionError(f"{name}: the answers differ: {str(mine)[:300]} {str(its)[:300]}")
    times: dict[str, dict[str, list[float]]] = {name: {side: [] for side in sides} for name in asked}
    for number in range(told.rounds):
        for name, question in asked.items():
            ours = (pages[question.ours(turn)] for turn in range(told.requests))
            theirs = ([question.theirs(turn)] for turn in range(told.requests))
            times[name][OURS] += _times(sides[OURS], ours)
            times[name][PEER] += _times(sides[PEER], theirs)
        say(f"round {number + 1} of {told.rounds}")
    return times


def _whole(place: Place, path: str, pages: dict[str, list[str]]) -> Any:
    """The answer with as many records as were asked for, where there are so many; the requests that it took."""
    answer = _answer(place, path)
    asked = pages.setdefault(path, [path])
    found, following = answer.get("records", []), answer.get("next")
    while "limit=" in path and following is not None and len(found) < int(path.partition("limit=")[2].split("&")[0]):
        if len(asked) < PAGES_MAX:
            asked.append(f"{path}&after={quote(following)}")
        more = _answer(place, f"{path}&after={quote(following)}")
        found += more["records"]
        following = more["next"]
    return answer


def _answer(place: Place, path: str) -> Any:
    answer = requests.get(
        f"http://127.0.0.1:{place.port}{place.base}{path}", headers=dict(place.headers), timeout=CHECK_S_MAX
    )
    assert answer.ok, answer.text[:500]
    return answer.json()


def _times(place: Place, questions: Iterator[list[str]]) -> list[float]:
    """The ms of each question, of all the requests that its answer takes."""
    with Wire(place.port) as wire:
        return [sum(wire.exchange(place.request(path)).last_ms for path in paths) for paths in questions]


def _report(told: argparse.Namespace, times: Mapping[str, Mapping[str, list[float]]]) -> Report:
    report = Report("Asking for records over HTTP", description=__doc__)
    table = Table(["", f"{OURS}, p50, ms", "p95", f"{PEER}, p50, ms", "p95", "ours against its, p50"])
    for name, sides in times.items():
        mine, its = Samples.of(sides[OURS]), Samples.of(sides[PEER])
        table.add(name, *(figure(t) for t in (mine.p50, mine.p95, its.p50, its.p95)), compared(mine.p50, its.p50))
        if name.startswith(IN_SHORT):
            report.beside(f"{name}, of {told.records} records, p50, ms", mine.p50, PEER, its.p50)
    report.add(table)
    report.add(
        f"{told.records} records of 200 B, {told.rounds} rounds of {told.requests} requests each. {PEER} "
        f"{_machine.version_of('datasette')} on SQLite {sqlite_version()}."
    )
    return report


if __name__ == "__main__":
    main()

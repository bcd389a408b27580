"""What is due when, decided over values."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.errors import AuthRequired, BadRequest, ChildDied, CoolingDown, ServiceDisabled
from core.schedule import plan
from core.schedule.plan import Answer, Pending, Verdict

NOW = 1_700_000_000.0


def entry(path: str = "/sync/entry", *, at: float = NOW, tries: int = 0, service: str = "feeds") -> Pending:
    """A pending call as the child asks for it."""
    return Pending(service=service, path=path, at=at, kind="asked", tries=tries)


@pytest.mark.parametrize(
    "value",
    ["abc", "", None, True, math.nan, math.inf, -1, NOW * 1000, [], {}, "1e9", "nan", NOW + plan.AHEAD_S_MAX + 1],
)
def test_at_rejects_non_number(value: object) -> None:
    """Text, truth, NaN, infinity, milliseconds and years ahead are refused as the caller's fault."""
    with pytest.raises(BadRequest):
        plan.parse_at(value, now=NOW)


@pytest.mark.parametrize(
    ("value", "moment"),
    [(NOW + 5, NOW + 5), (0, NOW), (NOW - 5, NOW), (int(NOW) + 5, NOW + 5), (str(NOW + 5), NOW + 5),
     (NOW + plan.AHEAD_S_MAX, NOW + plan.AHEAD_S_MAX)],
)  # fmt: skip
def test_a_past_time_means_at_once(value: object, moment: float) -> None:
    """Numbers are taken as they are, forms' decimal text too; what is past is now."""
    assert moment == plan.parse_at(value, now=NOW)


@pytest.mark.parametrize(
    "path",
    ["", "sync", "//host/x", "/../github/sync", "/sync/..", "/a/%2e%2e/b", "/a/%252e%252e/b", "/a\\..\\b", "/a b",
     "/a#b", "http://other/", "/http://other/", "/http%3A//other/", "/a\nb", "/ä", "/%2e%2E",
     "/" + "a" * plan.PATH_CHARS_MAX, None, 7],
)  # fmt: skip
def test_a_path_stays_inside_the_service(path: object) -> None:
    """No scheme, no host, no way up in any encoding, no endless path."""
    with pytest.raises(BadRequest):
        plan.parse_path(path)


@pytest.mark.parametrize(
    "path", ["/", "/sync/entry", "/sync/entry?full=1&a=b/c", "/a/..b/~x", "/" + "a" * (plan.PATH_CHARS_MAX - 1)]
)
def test_a_plain_path_is_taken(path: str) -> None:
    """Paths as connectors serve them, with a query if they like."""
    assert path == plan.parse_path(path)


def test_due_is_sorted_and_leaves_out_what_was_given_up() -> None:
    """The longest waiting comes first; what failed too often waits for a person."""
    late, later, ahead = entry("/a", at=NOW - 9), entry("/b", at=NOW), entry("/c", at=NOW + 1)
    given_up = Pending(
        service="feeds", path="/d", at=NOW, kind="fallback", tries=plan.TRIES_MAX, last_problem="it answered 500"
    )

    assert [late, later] == plan.due([ahead, given_up, later, late], NOW)


def test_one_service_leaves_room_for_others() -> None:
    """Of twenty due calls of one service only its share starts, and the other service's goes with them."""
    ready = [entry(f"/{n}", at=NOW - 100 + n) for n in range(20)] + [entry("/x", service="mail")]

    chosen = plan.choose(ready, set())

    assert {"feeds": plan.CALLS_PER_SERVICE_MAX, "mail": 1} == {
        name: sum(1 for each in chosen if each.service == name) for name in ("feeds", "mail")
    }


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 5)), unique=True), st.integers(0, 40))
def test_choosing_keeps_every_bound(places: list[tuple[str, int]], busy: int) -> None:
    """Never more calls than allowed, in all or of a service, and never a place twice."""
    ready = [entry(f"/{path}", service=service) for service, path in places]
    under_way = {each.place for each in ready[:busy][: plan.CALLS_MAX]}

    chosen = plan.choose(ready, under_way)

    assert len(under_way) + len(chosen) <= plan.CALLS_MAX or not chosen
    assert not under_way & {each.place for each in chosen}
    assert len(chosen) == len({each.place for each in chosen})


def test_missed_runs_are_spread() -> None:
    """Sixty missed runs fill a minute in their order, the first at once."""
    missed = [entry(f"/{n}", at=NOW - 1000 + n) for n in range(60)]

    moved = plan.spread(missed, now=NOW, random_unit=lambda: 0.5)

    assert [each.path for each in missed] == [each.path for each in moved]
    assert moved[0].at == NOW
    assert all(a.at < b.at for a, b in itertools.pairwise(moved))
    assert NOW + 55 < moved[-1].at < NOW + 60


@given(st.integers(1, 1000), st.floats(0, 1, exclude_max=True))
def test_spreading_stays_inside_the_window(count: int, unit: float) -> None:
    """However many were missed, none waits longer than the window."""
    moved = plan.spread([entry(f"/{n}") for n in range(count)], now=NOW, random_unit=lambda: unit)

    assert all(NOW <= each.at <= NOW + plan.SPREAD_S for each in moved)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_retries_wait_with_full_jitter_up_to_an_hour(tries: int, unit: float) -> None:
    """The wait is anywhere below a ceiling that doubles from half a minute to an hour."""
    wait_s = plan.next_try(tries, now=0.0, random_unit=unit)

    assert plan.RETRY_LEAST_S <= wait_s <= plan.RETRY_MAX_S


def test_the_ceiling_doubles() -> None:
    """30 s, 1 min, 2 min … 1 h."""
    waits = [plan.next_try(tries, now=0.0, random_unit=1.0) for tries in (1, 2, 3, 7, 8, 20)]

    assert [30.0, 60.0, 120.0, 1920.0, 3600.0, 3600.0] == waits


def test_a_fired_stream_already_has_its_next_turn() -> None:
    """Whatever becomes of the call, the stream comes again by its frequency."""
    fired = plan.fired(entry(tries=0), now=NOW, frequency_s=1800)

    assert (NOW + 1800, "fallback", 1, None) == (fired.at, fired.kind, fired.tries, fired.last_problem)


@pytest.mark.parametrize(
    ("answer", "frequency_s", "expected"),
    [
        (Answer(Verdict.DONE), 1800.0, (NOW + 1800, 0, None)),
        (Answer(Verdict.DONE), None, None),
        (Answer(Verdict.FAILED, "it answered 500"), 1800.0, (NOW + 15, 1, "it answered 500")),
        (Answer(Verdict.FAILED, "rate_limited", 500.0), None, (NOW + 500, 1, "rate_limited")),
        (Answer(Verdict.FAILED, "rate_limited", 1e9), None, (NOW + plan.DAY_S, 1, "rate_limited")),
        (Answer(Verdict.OWNER_NEEDED, "it is not signed in"), 1800.0, (NOW + 1800, 0, "it is not signed in")),
        (Answer(Verdict.OWNER_NEEDED, "disabled"), None, (NOW + 3600, 0, "disabled")),
    ],
)
def test_what_follows_a_call(answer: Answer, frequency_s: float | None, expected: object) -> None:
    """Done ends or goes on by frequency; failed comes soon; what needs the owner is not hammered."""
    fired = plan.fired(entry(), now=NOW, frequency_s=frequency_s)

    after = plan.settled(fired, answer, now=NOW, frequency_s=frequency_s, random_unit=0.5)

    assert expected == (after and (after.at, after.tries, after.last_problem))


def test_a_path_that_keeps_failing_is_given_up_and_a_stream_is_not() -> None:
    """After the last try a plain path rests, visibly; a stream goes on by its frequency with all its tries."""
    failed = Answer(Verdict.FAILED, "it answered 500")
    fired = plan.fired(entry(tries=plan.TRIES_MAX - 1), now=NOW, frequency_s=None)

    path = plan.settled(fired, failed, now=NOW, frequency_s=None, random_unit=0.5)
    stream = plan.settled(fired, failed, now=NOW, frequency_s=60.0, random_unit=0.5)

    assert path is not None and path.is_given_up
    assert stream is not None and not stream.is_given_up
    assert (NOW + plan.RETRY_MAX_S, 0, "it answered 500") == (stream.at, stream.tries, stream.last_problem)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (plan.judge_status(200), Verdict.DONE),
        (plan.judge_status(202), Verdict.DONE),
        (plan.judge_status(302), Verdict.FAILED),
        (plan.judge_status(401), Verdict.OWNER_NEEDED),
        (plan.judge_status(404), Verdict.FAILED),
        (plan.judge_status(500), Verdict.FAILED),
        (plan.judge_error(ServiceDisabled()), Verdict.OWNER_NEEDED),
        (plan.judge_error(AuthRequired()), Verdict.OWNER_NEEDED),
        (plan.judge_error(ChildDied()), Verdict.FAILED),
        (plan.judge_error(ConnectionRefusedError("secret")), Verdict.FAILED),
    ],
)
def test_answers_are_judged_by_class(answer: Answer, verdict: Verdict) -> None:
    """The group of the error, or the status, decides; an unknown error's text is not shown."""
    assert verdict is answer.verdict
    assert "secret" not in (answer.problem or "")


def test_a_wait_that_was_asked_for_is_kept() -> None:
    """The error's own time to wait travels with the answer."""
    assert 77.0 == plan.judge_error(CoolingDown("x", retry_after_s=77)).retry_after_s


@pytest.mark.parametrize(
    ("later", "step_s"),
    [((NOW + 10, 10.0), 0.0), ((NOW + 14, 10.0), 0.0), ((NOW + 16, 10.0), 6.0), ((NOW - 86_390, 10.0), -86_400.0)],
)
def test_steps_of_the_wall_clock_are_seen(later: tuple[float, float], step_s: float) -> None:
    """A clock that drifts is left alone; one that jumps is noticed with its direction."""
    assert step_s == plan.step_between((NOW, 0.0), later)


def test_what_the_core_put_far_ahead_by_a_wrong_clock_is_brought_near() -> None:
    """Its own entries never lie farther than a day or the frequency; what a child asked stays."""
    ahead = Pending(service="feeds", path="/sync/entry", at=NOW + 10 * plan.DAY_S, kind="fallback")
    asked = entry(at=NOW + 10 * plan.DAY_S)

    assert NOW + plan.DAY_S == plan.nearest(ahead, now=NOW, frequency_s=60).at
    assert NOW + 7 * plan.DAY_S == plan.nearest(ahead, now=NOW, frequency_s=7 * plan.DAY_S).at
    assert asked == plan.nearest(asked, now=NOW, frequency_s=60)

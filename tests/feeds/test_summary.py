"""What is said of the feeds that failed: decided without a network or a clock."""

from __future__ import annotations

from itertools import permutations

from connectors.feeds.summary import FAILURES_TOLD_MAX, Failure, summary
from core.model.errors import Broken, LockerError, NotFound, Offline, UserActionNeeded
from core.model.problem import problem_document

GONE = NotFound("a.example has nothing at this address", remedy="Look for its new address.")
PAGE = UserActionNeeded("the address answers, but not with a feed", remedy="Look on that page.")
AWAY = Offline("c.example did not answer: it took too long", remedy="Wait.")


def _failures(*errors: LockerError) -> list[Failure]:
    return [(f"https://{n}.example/", error) for n, error in enumerate(errors)]


def test_the_only_feed_speaks_for_itself() -> None:
    """Nothing is added to what it met."""
    assert GONE is summary(_failures(GONE), 1)


def test_one_of_several_is_named() -> None:
    """A sentence, with its advice and kind."""
    told = summary(_failures(GONE), 3)

    assert "1 of 3 feeds could not be read: https://0.example/: a.example has nothing at this address" == told.detail
    assert (NotFound, GONE.remedy, ()) == (type(told), told.remedy, told.parts)


def test_the_advice_does_not_depend_on_the_order() -> None:
    """Of as many, the severest; each feed has its own line in the problem."""
    failures = [*_failures(AWAY, PAGE, GONE)]
    told = {str(problem_document(summary(order, 4))) for order in permutations(failures)}
    document = problem_document(summary(failures, 4))

    assert 1 == len(told)
    assert "3 of 4 feeds could not be read." == document["detail"]
    assert ("user_action_needed", "For 1 of them: Look on that page.") == (document["type"], document["remedy"])
    assert [{"name": url, "detail": error.detail} for url, error in failures] == document["parts"]


def test_the_advice_that_helps_most_comes_first() -> None:
    """And it says how many it is for, unless it is for all."""
    assert "For 2 of them: Wait." == summary(_failures(AWAY, PAGE, AWAY), 3).remedy
    assert "Wait." == summary(_failures(AWAY, AWAY), 3).remedy


def test_so_many_are_named_and_no_more() -> None:
    """Just at the bound all are, over it the sentence says how many."""
    just, over = (summary(_failures(*[Broken("bad")] * n), 99) for n in (FAILURES_TOLD_MAX, FAILURES_TOLD_MAX + 1))

    assert (FAILURES_TOLD_MAX, FAILURES_TOLD_MAX) == (len(just.parts), len(over.parts))
    assert ["20 of 99 feeds could not be read.", "21 of 99 feeds could not be read; 20 of them are named."] == [
        just.detail,
        over.detail,
    ]

"""A connector's own routes, beside the SDK's."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sdk import route
from connectors.sdk.routes import OWN_SEGMENTS
from connectors.sdk.testing import Child, FakeCore
from core.model.errors import Broken


@pytest.fixture
def child(core: FakeCore, connectors: Path) -> Child:
    """A service with routes of its own."""
    return core.start(connectors / "puppet")


def test_a_route_gets_what_was_sent(child: Child) -> None:
    """Flask's request, the rule's parts, and a context."""
    answer = child.post("/echo/hello", data="body", headers={"X-Locker-Actor": "app:1"})

    assert {"word": "hello", "actor": "app:1", "body": "body", "base": "/Me/puppet/"} == answer.json()


def test_a_route_may_keep_records(child: Child, core: FakeCore) -> None:
    """What the owner sends is kept at once, and the core is told."""
    answer = child.post("/keep", json={"id": 5, "name": "five"})

    assert (201, "1") == (answer.status_code, answer.text)
    assert "five" == child.records("thing")["5"]["value"]["name"]
    core.wait_for(lambda: core.asked("committed"))


def test_a_refusal_is_a_problem(child: Child) -> None:
    """An error of the tree becomes its own answer."""
    answer = child.get("/refuse")

    assert (409, "conflict", "Otherwise.") == (
        answer.status_code,
        answer.json()["type"],
        answer.json()["remedy"],
    )


def test_an_unexpected_error_tells_nothing_of_itself(child: Child) -> None:
    """500 without the exception's text; the next request is answered."""
    answer = child.get("/break")

    assert (500, "broken") == (answer.status_code, answer.json()["type"])
    assert "secret" not in answer.text
    assert 200 == child.get("/echo/x").status_code


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("PUT", "/echo/x", 405), ("GET", "/keep", 405), ("GET", "/echo", 404), ("GET", "/x/y", 404)],
)
def test_unknown_paths_and_methods_are_problems(child: Child, method: str, path: str, status: int) -> None:
    """The same shape as everywhere."""
    answer = child.ask(method, path)

    assert (status, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])


@pytest.mark.parametrize("rule", ["/", "nothing", *(f"/{name}/x" for name in sorted(OWN_SEGMENTS))])
def test_the_common_routes_cannot_be_taken(rule: str) -> None:
    """A connector adds routes, it does not replace the contract."""
    with pytest.raises(Broken):
        route(rule)

"""Errors as answers."""

from __future__ import annotations

import pytest

from core.model.errors import CoolingDown
from tests.web.conftest import Site


def test_an_error_is_a_problem_document(site: Site) -> None:
    """Type, title, status, detail, remedy; and when to come back, where that is known."""
    site.world.install()

    def cooling(service_id: str, /) -> None:
        raise CoolingDown("feeds crashed 4 times", retry_after_s=7.5)

    site.world.children.restart = cooling  # type: ignore[method-assign]
    answer = site.owner("POST", "/core/feeds/restart")

    assert (503, "application/problem+json", "8") == (
        answer.status, answer.headers["content-type"], answer.headers["retry-after"]
    )  # fmt: skip
    assert {
        "type": "cooling_down", "title": "The connector keeps crashing", "status": 503,
        "detail": "feeds crashed 4 times", "retry_after_s": 7.5,
        "remedy": "Look at the service's log, then press Restart.",
    } == answer.json  # fmt: skip


def test_a_person_gets_a_page(site: Site) -> None:
    """The same error, readable, with a way on."""
    answer = site.browse("/services/nothing", site.login())

    assert (404, "text/html; charset=utf-8") == (answer.status, answer.headers["content-type"])
    assert "There is no service" in answer.text
    assert 'href="/"' in answer.text


def test_an_unexpected_error_is_an_incident(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Its text may hold a secret: the answer has a number, the log has the rest under it."""

    def broken() -> None:
        raise RuntimeError("password=hunter2")

    site.world.catalog.refresh = broken  # type: ignore[method-assign]
    answer = site.owner("GET", "/map")
    number = answer.json["detail"].rpartition(" ")[2].rstrip(".")

    assert (500, "broken") == (answer.status, answer.json["type"])
    assert "hunter2" not in answer.text
    assert any(number in record.getMessage() and record.exc_info for record in caplog.records)


def test_an_unexpected_error_in_front_is_an_incident_too(site: Site) -> None:
    """The access layer answers for itself."""

    def broken(token: str) -> str | None:
        raise RuntimeError("secret")

    object.__setattr__(site.world.parts, "service_of_token", broken)
    answer = site.owner("GET", "/map")

    assert (500, "broken") == (answer.status, answer.json["type"])
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("PATCH", "/map", 405), ("GET", "/core", 404)]
)
def test_paths_that_are_none(site: Site, method: str, path: str, status: int) -> None:
    """A problem as well, by its status."""
    answer = site.owner(method, path)

    assert (status, status) == (answer.status, answer.json["status"])


def test_what_a_page_says_is_text(site: Site) -> None:
    """Markup in an address comes back as the letters it is made of."""
    answer = site.browse("/services/%3Cscript%3Ealert(1)%3C%2Fscript%3E", site.login())

    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text

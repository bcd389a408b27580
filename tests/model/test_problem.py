"""Errors as the outside sees them."""

from __future__ import annotations

import json

from core.model.errors import Broken, ManifestInvalid, MethodNotAllowed, NotFound, TooBusy
from core.model.problem import as_locker_error, problem_document, problem_response


def test_members_of_a_problem() -> None:
    """type, title, status, detail and remedy, as RFC 9457 and the house say."""
    document = problem_document(NotFound("there is no service 'x'", remedy="See /map."))

    assert {
        "type": "not_found", "title": "Not found", "status": 404,
        "detail": "there is no service 'x'", "remedy": "See /map.",
    } == document  # fmt: skip


def test_headers_follow_from_the_error() -> None:
    """Retry-After for what will pass, Allow for a wrong method."""
    busy_status, busy, _ = problem_response(TooBusy("100 requests wait", retry_after_s=1.2))
    wrong_status, wrong, _ = problem_response(MethodNotAllowed("GET changes nothing", allow=("POST",)))

    assert (503, "2") == (busy_status, dict(busy)["retry-after"])
    assert (405, "POST") == (wrong_status, dict(wrong)["allow"])


def test_faults_of_a_manifest_are_listed() -> None:
    """The page shows each fault on its own."""
    _, _, body = problem_response(ManifestInvalid("x", faults=("name: is missing",)))

    assert ["name: is missing"] == json.loads(body)["faults"]


def test_unexpected_errors_tell_nothing_of_their_text() -> None:
    """The text of a foreign exception may hold a secret, so it stays in the log."""
    error = as_locker_error(ValueError("password is hunter2"))

    assert isinstance(error, Broken)
    assert "hunter2" not in json.dumps(problem_document(error))

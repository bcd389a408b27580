"""Errors as answers: a problem document for programs, a page with one way on for a person."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from core.model.errors import (
    BadRequest,
    BodyTooLarge,
    Broken,
    LockerError,
    MethodNotAllowed,
    NotFound,
    Reject,
    TokenRequired,
)
from core.model.problem import problem_response
from core.web.asgi import Request
from core.web.rendering import page

log = logging.getLogger(__name__)

INCIDENT_BYTES = 4


def render(error: LockerError, *, for_person: bool) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body that answer `error`: HTML for a person, else a problem document."""
    status, headers, body = problem_response(error)
    if isinstance(error, TokenRequired):
        headers.append(("www-authenticate", "Bearer"))
    if for_person:
        kept = [(name, value) for name, value in headers if name != "content-type"]
        body = page("problem.html", error=error).encode("utf-8")
        return status, [("content-type", "text/html; charset=utf-8"), *kept], body
    return status, headers, body


def incident(error: Exception, *, where: str) -> Broken:
    """An unexpected error as one that tells nothing of its text: the log has it, under the number given."""
    number = secrets.token_hex(INCIDENT_BYTES)
    log.error("incident %s where=%s", number, where, exc_info=error)
    return Broken(
        f"An unexpected {type(error).__name__} stopped this request; it is incident {number}.",
        remedy=f"Look for incident {number} in Me/logs/core.log.",
    )


def no_service() -> NotFound:
    """What a person is told who asks for a service that is none."""
    return NotFound("There is no service of that name.", remedy="Your services are listed at the front.")


def handle_errors(flask: Flask) -> None:
    """Make every error that leaves a view an answer of this kind."""

    def answer(error: LockerError) -> Response:
        status, headers, body = render(error, for_person=Request(request.environ["asgi.scope"]).is_navigation)
        return Response(body, status, headers)

    def on_http(error: HTTPException) -> Any:
        return error if error.code is None or error.code < 400 else answer(_of_http(error))

    def on_unexpected(error: Exception) -> Response:
        return answer(incident(error, where=f"{request.method} {request.path[:200]!r}"))

    flask.register_error_handler(LockerError, answer)
    flask.register_error_handler(HTTPException, on_http)
    flask.register_error_handler(Exception, on_unexpected)


def _of_http(error: HTTPException) -> LockerError:
    if error.code == 404:
        return NotFound(f"There is nothing at {request.path[:200]}.")
    if error.code == 405:
        allow = tuple(sorted(getattr(error, "valid_methods", None) or ()))
        return MethodNotAllowed(f"{request.method} is not possible here.", allow=allow)
    if error.code == 413:
        return BodyTooLarge("The body exceeds what the core's own paths take.")
    return BadRequest(error.description or "") if error.code == 400 else Reject(error.description or "")

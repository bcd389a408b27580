"""What a child answers to the core's own questions, and the error that its refusal is."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from core.model.errors import BadRequest, Conflict, LockerError, NotFound, TooBusy
from core.web.parts import Parts

_REFUSALS: dict[int, type[LockerError]] = {400: BadRequest, 404: NotFound, 503: TooBusy}


class ChildProblem(msgspec.Struct):
    """The members of a child's problem document (RFC 9457), as far as it has any."""

    type: str | None = None
    title: str | None = None
    detail: str | None = None
    remedy: str | None = None


def problem_in(body: bytes) -> ChildProblem:
    """The problem that a child tells; an empty one where it is none that can be read."""
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(body, type=ChildProblem)
    return ChildProblem()


def ask_child(parts: Parts, service_id: str, *, method: str, path: str, body: bytes = b"", timeout_s: float) -> bytes:
    """The body of the child's answer, which is started if it sleeps.

    Raises its refusal in its own words, as BadRequest, NotFound, TooBusy or else Conflict.
    """
    status, answer = parts.children.call(
        service_id, method=method, path=path, body=body, content_type="application/json", timeout_s=timeout_s
    )
    if status >= 400:
        problem = problem_in(answer)
        refusal = _REFUSALS.get(status, Conflict)
        raise refusal(problem.detail or "The connector refused.", remedy=problem.remedy)
    return answer

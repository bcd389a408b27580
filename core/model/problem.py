"""An error as the outside sees it: an RFC 9457 problem document with a `remedy`."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from core.model.errors import Broken, LockerError, MethodNotAllowed

CONTENT_TYPE = "application/problem+json"


def problem_document(error: LockerError) -> dict[str, Any]:
    """The problem's members: type, title, status, detail, remedy, and what the class adds."""
    document: dict[str, Any] = {
        "type": error.code,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "remedy": error.remedy,
    }
    if error.retry_after_s is not None:
        document["retry_after_s"] = round(error.retry_after_s, 3)
    if error.parts:
        document["parts"] = [{"name": name, "detail": detail} for name, detail in error.parts]
    return document | {name: getattr(error, name) for name in error.members}


def problem_response(error: LockerError) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body that answer a request which met `error`."""
    headers = [("content-type", CONTENT_TYPE), ("cache-control", "no-store")]
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after_s)))))
    if isinstance(error, MethodNotAllowed):
        headers.append(("allow", ", ".join(error.allow)))
    return error.status, headers, msgspec.json.encode(problem_document(error))


def problem_messages(error: LockerError, *, kind: str = "http.response") -> tuple[dict[str, Any], dict[str, Any]]:
    """The two ASGI messages of a whole answer to a request that met `error`; `kind` is what their types begin with."""
    status, headers, body = problem_response(error)
    fields = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
    fields.append((b"content-length", b"%d" % len(body)))
    return {"type": f"{kind}.start", "status": status, "headers": fields}, {"type": f"{kind}.body", "body": body}


def as_locker_error(error: Exception) -> LockerError:
    """`error` itself, or a Broken that tells nothing of its text: that may hold a secret, the log has it."""
    if isinstance(error, LockerError):
        return error
    return Broken(f"an unexpected {type(error).__name__} stopped this request")

"""A request of the core's own to a child: a due sync, a batch of events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.gateway.headers import Headers
from core.model.errors import AnswerInvalid

ANSWER_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True)
class Response:
    """What the child answered, whole."""

    status: int
    headers: Headers
    body: bytes


class Collector:
    """Takes an answer where a client would stand; raises AnswerInvalid for one that is too long to keep."""

    def __init__(self, service_id: str, *, bytes_max: int = ANSWER_BYTES_MAX) -> None:
        self._service_id = service_id
        self._bytes_max = bytes_max
        self._status = 0
        self._headers: Headers = []
        self._body = bytearray()

    async def send(self, message: dict[str, Any]) -> None:
        """Take one message as an ASGI server would."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], message["headers"]
            return
        self._body += message["body"]
        if len(self._body) > self._bytes_max:
            raise AnswerInvalid(f"{self._service_id} answered the core with more than {self._bytes_max} bytes")

    def response(self) -> Response:
        """The whole answer."""
        return Response(self._status, self._headers, bytes(self._body))

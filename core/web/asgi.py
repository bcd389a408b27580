"""A request as the ASGI layers read it, and short answers to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from core.web.parts import Scope, Send

COOKIE_BYTES_MAX = 8 * 1024
QUERY_FIELDS_MAX = 50
Headers = Iterable[tuple[str, str]]


class Request:
    """The parts of an http or websocket scope that decide who may do what."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.method: str = scope.get("method", "GET")
        self.path: str = scope["path"]
        self.is_websocket: bool = scope["type"] == "websocket"
        self._headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            self._headers.setdefault(name.lower(), []).append(value)

    def header(self, name: str) -> str:
        """The header's value, empty when it is missing; the first one when it came twice."""
        return self._headers.get(name.encode("ascii"), [b""])[0].decode("latin-1")

    def headers(self, name: str) -> list[str]:
        """Every value that came under this name."""
        return [value.decode("latin-1") for value in self._headers.get(name.encode("ascii"), [])]

    @property
    def query(self) -> Mapping[str, str]:
        """The query's fields; values that came under one name are joined by commas, so that a judge sees them all.

        Empty when there are too many.
        """
        text = self.scope.get("query_string", b"").decode("latin-1")
        try:
            fields = parse_qs(text, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
        except ValueError:
            return {}
        return {name: ",".join(values) for name, values in fields.items()}

    def cookie(self, name: str) -> str:
        """The cookie's value, empty when it is missing or the header is no list of cookies."""
        header = self.header("cookie")
        if not header or len(header) > COOKIE_BYTES_MAX:
            return ""
        try:
            morsel = SimpleCookie(header).get(name)
        except CookieError:
            return ""
        return morsel.value if morsel else ""

    @property
    def is_navigation(self) -> bool:
        """Whether a person looks at the answer in a browser's window."""
        if self.method not in ("GET", "HEAD", "POST") or "text/html" not in self.header("accept"):
            return False
        return self.header("sec-fetch-mode") in ("", "navigate")

    @property
    def is_prefetch(self) -> bool:
        """Whether the browser asks ahead of its person, who may never look."""
        return "prefetch" in self.header("sec-purpose") + self.header("purpose")


async def answer(send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    """Send a whole response."""
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    fields.append((b"content-length", str(len(body)).encode("ascii")))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def refuse_websocket(scope: Scope, send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Answer an upgrade with a refusal, in full where the server can say it."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "websocket.http.response.start", "status": status, "headers": fields})
    await send({"type": "websocket.http.response.body", "body": body})

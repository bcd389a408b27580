"""Requests to the outside, with the limits that a stranger's server needs.

A `Session` is a `requests.Session`: a connector uses it as always. What differs: every answer is read to its end
within a deadline and a size, decompressed; private addresses are refused unless the owner typed them; a redirect to
another origin carries nothing that identifies the owner; and environment proxies are honoured.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.utils import get_encoding_from_headers, select_proxy
from urllib3.exceptions import DecodeError, HTTPError, ProtocolError

from connectors.sdk.addresses import Origin, is_named, is_public, origin_of
from connectors.sdk.connections import Deadlines, GuardedAdapter
from core.model.clock import SystemClock
from core.model.errors import Broken, Forbidden, LockerError, NotFound, Offline, RateLimited, Reauthorise, Retry

READ_TIMEOUT_S = 30.0
DEADLINE_S = 120.0
BODY_BYTES_MAX = 64 * 1024 * 1024
REDIRECTS_MAX = 10
USER_AGENT = "Locker (personal data, at home)"

_CLOCK = SystemClock()
_CHUNK_BYTES = 64 * 1024
_HARMLESS_HEADERS = frozenset({"accept", "accept-encoding", "accept-language", "user-agent", "range", "connection"})


class AnswerTooLarge(requests.exceptions.ContentDecodingError):
    """The answer, decompressed, is larger than the session allows."""


class Body:
    """An answer's body, decompressed, in pieces as they come, within a size and until a time."""

    def __init__(self, answer: requests.Response, *, bytes_max: int, until: float) -> None:
        self._raw = answer.raw
        self._bytes_max = bytes_max
        self._until = until
        self._size = 0

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end; raises requests' errors, AnswerTooLarge among them."""
        try:
            chunk: bytes = self._raw.read1(size, decode_content=True)
            self._check(len(chunk))
        except DecodeError as err:
            self._raw.close()
            raise requests.exceptions.ContentDecodingError(str(err)) from err
        except ProtocolError as err:
            self._raw.close()
            raise requests.exceptions.ChunkedEncodingError(str(err)) from err
        except BaseException:
            self._raw.close()
            raise
        if not chunk:
            self._raw.release_conn()
        return chunk

    def _check(self, more: int) -> None:
        self._size += more
        if self._size > self._bytes_max:
            raise AnswerTooLarge(f"the answer has more than {self._bytes_max} bytes")
        if _CLOCK.monotonic() > self._until:
            raise requests.ReadTimeout("the whole answer took too long")


class Session(requests.Session):
    """A `requests.Session` for one connector. `body_bytes_max` and `deadline_s` hold for each answer.

    `hosts`, from the manifest's limits, are the only ones that may be called, beside those the owner typed. A body
    read with `stream=True` is the caller's to bound.
    """

    def __init__(
        self,
        *,
        typed: frozenset[Origin],
        hosts: tuple[str, ...] = (),
        body_bytes_max: int = BODY_BYTES_MAX,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        super().__init__()
        self._typed = typed
        self._hosts = hosts
        self._deadlines = Deadlines()
        self.body_bytes_max = body_bytes_max
        self.deadline_s = deadline_s
        self.max_redirects = REDIRECTS_MAX
        self.headers["User-Agent"] = USER_AGENT
        self.headers["Accept-Encoding"] = "gzip, deflate"
        adapter = GuardedAdapter(may_call=self._is_typed, deadlines=self._deadlines)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """The answer, read to its end unless `stream` was asked for; raises requests' errors, and Forbidden."""
        self._check(request.url or "", options)
        is_streamed = bool(options.pop("stream", False))
        follow = bool(options.pop("allow_redirects", True))
        options["timeout"] = options.get("timeout") or READ_TIMEOUT_S
        with self._deadlines.within(self.deadline_s) as watch:
            try:
                answer = super().send(request, stream=True, allow_redirects=follow, **options)
                if not is_streamed:
                    self._read(answer)
                if watch.is_over:
                    # A cut in the middle of the head looks like its end.
                    raise requests.ReadTimeout
            except (requests.RequestException, HTTPError, OSError) as err:
                if watch.is_over:
                    raise requests.ReadTimeout(f"the whole answer took more than {self.deadline_s:g} s") from err
                if isinstance(err, requests.RequestException):
                    raise
                raise requests.ConnectionError(str(err)) from err
        return answer

    def bounded(self, answer: requests.Response) -> Body:
        """The body of an answer got with `stream=True`, to be read in pieces within the session's size and deadline."""
        return Body(answer, bytes_max=self.body_bytes_max, until=_CLOCK.monotonic() + self.deadline_s)

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Let nothing that identifies the owner follow a redirect to another origin."""
        there, here = prepared_request.url or "", response.request.url or ""
        if _is_same_origin(there, here):
            return
        if prepared_request.body:
            raise Forbidden(f"{urlsplit(here).netloc} redirects what was sent to {urlsplit(there).netloc}")
        for name in [name for name in prepared_request.headers if name.lower() not in _HARMLESS_HEADERS]:
            del prepared_request.headers[name]

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where a redirect leads; its body is dropped unread, since nobody wants it and it may have no end."""
        target = super().get_redirect_target(resp)
        if target is not None and not resp._content_consumed:  # type: ignore[attr-defined]
            resp.raw.close()
            resp._content = b""
            resp._content_consumed = True  # type: ignore[attr-defined]
        return target

    def _check(self, url: str, options: Mapping[str, Any]) -> None:
        origin = origin_of(url)
        if origin is None:
            raise requests.exceptions.InvalidURL(f"only http and https can be fetched, not {url[:200]!r}")
        if origin in self._typed:
            return
        if self._hosts and not is_named(origin[0], self._hosts):
            raise Forbidden(f"{origin[0]} is none of the hosts that this connector's manifest names")
        proxies = options.get("proxies") or {}
        if select_proxy(url, proxies) and not is_public(origin[0]) and _is_address(origin[0]):
            raise Forbidden(f"{origin[0]} is an address of this machine or its network")

    def _is_typed(self, host: str, port: int) -> bool:
        return (host.lower(), port) in self._typed

    def _read(self, answer: requests.Response) -> None:
        """Read the body as it comes, so that neither a drip nor a bomb gets past the limits."""
        body, content = self.bounded(answer), bytearray()
        while chunk := body.read(_CHUNK_BYTES):
            content += chunk
        answer._content = bytes(content)
        answer._content_consumed = True  # type: ignore[attr-defined]


def checked(answer: requests.Response) -> requests.Response:
    """`answer` if it is a success, else the error that its status means, with the time it asks to wait."""
    status = answer.status_code
    if status < 400:
        return answer
    host = urlsplit(answer.url).hostname or "the source"
    after_s = retry_after_s(answer.headers, now=_CLOCK.now())
    if status == 429 or (status == 403 and answer.headers.get("X-RateLimit-Remaining") == "0"):
        raise RateLimited(f"{host} asked for fewer requests", retry_after_s=after_s)
    if status == 401:
        raise Reauthorise(f"{host} did not accept the sign-in")
    raise _refused(status, host, after_s)


def retry_after_s(headers: Mapping[str, str], *, now: float) -> float | None:
    """How long the answer asks to wait: Retry-After in seconds or as a date, or X-RateLimit-Reset."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value[:9])
    if value:
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - now)
        except (ValueError, TypeError, OverflowError):
            return None
    reset = headers.get("X-RateLimit-Reset", "").strip()
    return max(0.0, float(reset[:12]) - now) if reset.isdecimal() else None


def text_of(answer: requests.Response) -> str:
    """The body as text by its declared charset, UTF-8 otherwise; what does not fit is replaced, never raised."""
    charset = get_encoding_from_headers(answer.headers) or "utf-8"
    try:
        return answer.content.decode(charset, errors="replace")
    except (LookupError, UnicodeError):  # No charset that is known, or one like idna, which replaces nothing.
        return answer.content.decode("utf-8", errors="replace")


def _refused(status: int, host: str, after_s: float | None) -> LockerError:
    if status >= 500:
        return Offline(f"{host} answered {status}", retry_after_s=after_s)
    if status in (404, 410):
        return NotFound(f"{host} answered {status}: there is nothing at this address")
    if status in (408, 425):
        return Retry(f"{host} answered {status}", retry_after_s=after_s)
    return Broken(f"{host} answered {status} to a request of this connector")


def _is_same_origin(one: str, other: str) -> bool:
    return origin_of(one) == origin_of(other) and urlsplit(one).scheme == urlsplit(other).scheme


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdecimal() or ":" in host or host == "localhost"

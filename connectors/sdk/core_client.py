"""The core as a child calls it. Every refusal is raised as the error that the core named; nothing hangs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from core.model import errors
from core.model.errors import Broken, LockerError, ManifestInvalid, MethodNotAllowed, Offline

CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 8 * 1024 * 1024
TRIES_MAX = 3
RETRY_WAIT_S = 0.15

log = logging.getLogger(__name__)


class Core(Protocol):
    """What a connector asks of the core; `--alone` answers it from inside the process."""

    def at(self, path: str, when: float) -> None:
        """Ask to be called at `path` (under this service) at `when`, epoch seconds; replaces what was asked before."""

    def cancel(self, path: str) -> None:
        """Withdraw what `at` asked."""

    def pending(self) -> Mapping[str, float]:
        """The times that were asked for and have not come, by path."""

    def hold(self, reason: str, until: float) -> None:
        """Keep this process from being stopped as idle until `until`, or until `release`."""

    def release(self, reason: str) -> None:
        """End a hold."""

    def sign_in(self, account: str) -> None:
        """Tell whose account this service holds; raises Conflict when it holds another one's data."""

    def committed(self, seq: int) -> None:
        """Tell that this store now reaches to `seq`."""

    def event(self, idr: str, action: str, value: Mapping[str, Any]) -> str:
        """Publish something that is no record; `action` is new, update or delete. The id that it is kept by."""

    def listen(self, event_type: str, path: str) -> None:
        """Have events of that type (`contact`, `contact/github`) posted to `path` (under this service), from now on."""

    def deafen(self, event_type: str, path: str) -> None:
        """End what `listen` asked."""

    def diary(self, message: str, level: int) -> None:
        """Write a sentence into the owner's diary: 0 info, 1 warning, 2 error."""

    def map(self) -> dict[str, Any]:
        """The installed services, without secrets."""

    def providers(self, *types: str) -> list[dict[str, Any]]:
        """The services that provide any of these types."""


class CoreClient:
    """Calls to the core, from any thread. Calls that may be repeated are, a few times, when the core did not answer."""

    def __init__(self, *, locker_url: str, service_id: str, token: str) -> None:
        self._base = locker_url.rstrip("/")
        self._service_id = service_id
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._local = threading.local()

    def __repr__(self) -> str:
        return f"CoreClient({self._base!r}, {self._service_id!r})"

    def at(self, path: str, when: float) -> None:
        """Ask to be called at `path` at `when`; durable, one entry per path."""
        self._mine("POST", "at", {"at": when, "path": path})

    def cancel(self, path: str) -> None:
        """Withdraw what `at` asked."""
        self._mine("DELETE", "at", {"path": path})

    def pending(self) -> Mapping[str, float]:
        """The times at which the core will call this service, by path; asked for once, and not again."""
        answer = self._call("GET", f"/core/{self._service_id}/at", None, tries=1)
        calls = answer if isinstance(answer, list) else []
        return {call["path"]: float(call["at"]) for call in calls if _is_call(call)}

    def hold(self, reason: str, until: float) -> None:
        """Keep this process from being stopped as idle."""
        self._mine("POST", "hold", {"reason": reason, "until": until})

    def release(self, reason: str) -> None:
        """End the hold of that reason."""
        self._mine("DELETE", "hold", {"reason": reason})

    def sign_in(self, account: str) -> None:
        """Tell whose account this service holds; the core remembers the first for ever and refuses any other."""
        self._mine("POST", "account", {"account": account})

    def committed(self, seq: int) -> None:
        """Tell that this store now reaches to `seq`; losing the tell is harmless."""
        self._mine("POST", "committed", {"seq": seq})

    def event(self, idr: str, action: str, value: Mapping[str, Any]) -> str:
        """Publish something that is no record; the core keeps it and gives its id."""
        answer = self._mine("POST", "event", {"idr": idr, "action": action, "data": value}, tries=1)
        return str(answer.get("id", "")) if isinstance(answer, dict) else ""

    def listen(self, event_type: str, path: str) -> None:
        """Have events of that type posted to `path` (under this service), from now on."""
        self._mine("POST", "listen", {"type": event_type, "path": path})

    def deafen(self, event_type: str, path: str) -> None:
        """End what `listen` asked."""
        self._mine("POST", "deafen", {"type": event_type, "path": path})

    def diary(self, message: str, level: int) -> None:
        """Write a sentence into the owner's diary."""
        self._mine("POST", "diary", {"message": message, "level": level}, tries=1)

    def map(self) -> dict[str, Any]:
        """The installed services, without secrets."""
        answer = self._call("GET", "/map", None, tries=TRIES_MAX)
        return answer if isinstance(answer, dict) else {}

    def providers(self, *types: str) -> list[dict[str, Any]]:
        """The services that provide any of these types."""
        answer = self._call("GET", f"/providers?types={','.join(types)}", None, tries=TRIES_MAX)
        return answer if isinstance(answer, list) else []

    def _mine(self, method: str, what: str, body: Mapping[str, Any], *, tries: int = TRIES_MAX) -> Any:
        return self._call(method, f"/core/{self._service_id}/{what}", body, tries=tries)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None, *, tries: int) -> Any:
        for attempt in range(1, tries + 1):
            try:
                return self._once(method, path, body)
            except Offline:
                if attempt == tries:
                    raise
                time.sleep(RETRY_WAIT_S * attempt)
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            answer = self._session().request(
                method,
                self._base + path,
                data=None if body is None else msgspec.json.encode(body),
                headers=headers,
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
                allow_redirects=False,
                stream=True,
            )
            with answer:
                content = answer.raw.read(ANSWER_BYTES_MAX + 1, decode_content=True)
        except (requests.RequestException, HTTPError, OSError) as err:
            raise Offline(f"the core did not answer {method} {path.partition('?')[0]}") from err
        if len(content) > ANSWER_BYTES_MAX:
            raise Broken(f"the core's answer to {method} {path} has more than {ANSWER_BYTES_MAX} bytes")
        return _understood(answer.status_code, content, f"{method} {path.partition('?')[0]}")

    def _session(self) -> requests.Session:
        # One per thread: requests does not promise that a session may be shared.
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False
            session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=1))
            self._local.session = session
        return session


def _is_call(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and isinstance(document.get("path"), str)
        and isinstance(document.get("at"), (int, float))
    )


def _understood(status: int, content: bytes, call: str) -> Any:
    try:
        document = msgspec.json.decode(content) if content.strip() else None
    except msgspec.MsgspecError as err:
        raise Broken(f"the core answered {call} with {status} and something that is not JSON") from err
    if status < 300:
        return document
    raise refusal(status, document if isinstance(document, dict) else {}, call)


def refusal(status: int, problem: Mapping[str, Any], call: str) -> LockerError:
    """The error that a problem document names, as its own class; by the status alone where the type is unknown."""
    detail = f"{call}: {problem.get('detail') or problem.get('title') or f'refused with {status}'}"
    remedy = problem.get("remedy") if isinstance(problem.get("remedy"), str) else None
    kind = _BY_CODE.get(str(problem.get("type"))) or _by_status(status)
    if issubclass(kind, MethodNotAllowed):
        return kind(detail, allow=(), remedy=remedy)
    if issubclass(kind, ManifestInvalid):
        return kind(detail, remedy=remedy)
    if kind.members:
        error = kind(detail, remedy=remedy)
        vars(error).update({name: problem[name] for name in kind.members if name in problem})
        return error
    after_s = problem.get("retry_after_s")
    return kind(detail, remedy=remedy, retry_after_s=after_s if isinstance(after_s, (int, float)) else None)


def _by_status(status: int) -> type[LockerError]:
    if status in (429, 502, 503, 504):
        return errors.Retry
    return errors.Reject if 400 <= status < 500 else errors.Broken


def _tree(kind: type[LockerError]) -> list[type[LockerError]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in _tree(child))]


_BY_CODE: Mapping[str, type[LockerError]] = {kind.code: kind for kind in _tree(LockerError)}

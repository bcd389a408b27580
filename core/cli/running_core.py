"""The way from a command to the core that runs over the same Me: a ticket by its socket, then plain HTTP."""

from __future__ import annotations

import contextlib
import json
import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from core.cli.cures import cure_of, is_for_terminals
from core.cli.hints import see, typed
from core.cli.neighbours import running_places
from core.model.errors import (
    Broken,
    ChildMute,
    LockerError,
    MethodNotAllowed,
    NotFound,
    Reject,
    UserActionNeeded,
)
from core.netstore import socket_path

SOCKET_NAME = "core.sock"
SOCKET_DEADLINE_S = 5.0
# A child has so long to end, and to start again where it is resident.
BORROW_S_MAX = 60.0
LINE_BYTES_MAX = 65536
CONNECT_S_MAX = 5.0
ANSWER_S_MAX = 40.0
# The one name under which a browser's session counts; 127.0.0.1 is for programs.
PAGES_HOST = "locker.localhost"


class RunningCore:
    """The core's API, as the owner. Every refusal is raised as the error it stands for."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._session = requests.Session()
        # A proxy meant for the world has no business between a command and its own machine.
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def page(self, path: str) -> str:
        """The address of a page of the dashboard, for the owner's browser."""
        return f"http://{PAGES_HOST}:{urlsplit(self.url).port or 80}{path}"

    def get(self, path: str) -> Any:
        """What the path answers."""
        return self.ask("GET", path)

    def ask(self, method: str, path: str, *, body: object = None, wait_s: float = 0.0, unknown: str = "") -> Any:
        """The JSON answer of one request that may take `wait_s` longer than usual; None where there is no body.

        `unknown` is the cure when the core knows nothing of that name and no better one.
        """
        try:
            answer = self._session.request(
                method, self.url + path, json=body, timeout=(CONNECT_S_MAX, ANSWER_S_MAX + wait_s)
            )
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as err:  # Before, or amidst it.
            raise UserActionNeeded(f"The core at {self.url} went away.", remedy=_start_it()) from err
        except requests.Timeout as err:
            raise ChildMute(f"{method} {path} was not answered within {ANSWER_S_MAX + wait_s:.0f} s.") from err
        content = _decoded(answer)
        if answer.ok:
            return content
        error = error_of(answer.status_code, content)
        if isinstance(error, NotFound) and not is_for_terminals(error.remedy):
            raise type(error)(error.detail, remedy=unknown or see("list"))
        raise error

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()


def connect(me: Path) -> RunningCore:
    """The core that runs over this Me; UserActionNeeded when there is none."""
    core = find(me)
    if core is None:
        raise UserActionNeeded(f"No Locker is running over {me}.", remedy=way_to_a_core(me, running_places()))
    return core


def way_to_a_core(me: Path, running: Sequence[Path]) -> str:
    """What to do when no core runs over this Me while cores run over those.

    >>> way_to_a_core(Path("/home/a/Me"), [])
    'Start it with: python3 locker.py --me /home/a/Me'
    """
    start = _start_it(me)
    others = [place for place in running if place != me]
    if not others:
        return start
    return f"One runs elsewhere: add {' or '.join(_option(place) for place in others)} to the command. {start}"


def _start_it(me: Path | None = None) -> str:
    return f"Start it with: {typed(me=me)}"


def _option(me: Path) -> str:
    return f"--me {shlex.quote(str(me))}"


def find(me: Path) -> RunningCore | None:
    """The core that runs over this Me, if one does."""
    ticket = _told(me, "ticket", names=("url", "token"))
    return None if ticket is None else RunningCore(ticket["url"], ticket["token"])


def login_url(me: Path) -> str | None:
    """A new address that logs one browser in, once; None when no core runs over this Me."""
    told = _told(me, "login", names=("url",))
    return None if told is None else told["url"]


def console_path(me: Path) -> Path:
    """Where the core of this Me listens: in Me, or under a short name where Me's path is too long for a socket."""
    return socket_path(me / SOCKET_NAME)


def error_of(status: int, problem: Any) -> LockerError:
    """The error that a problem document stands for: by its type, else by the status."""
    document: Mapping[str, Any] = problem if isinstance(problem, Mapping) else {}
    detail = str(document.get("detail") or f"The core answered {status}.")
    remedy = document.get("remedy")
    known = class_of(str(document.get("type")))
    cls: type[LockerError] = Reject if 400 <= status < 500 else Broken
    if known is not None and not issubclass(known, MethodNotAllowed):
        cls = known
    if known is not None and remedy == known.default_remedy:
        remedy = None
    error = cls(detail, remedy=str(remedy) if remedy else None)
    return cls(detail, remedy=cure_of(error))


def class_of(code: str) -> type[LockerError] | None:
    """The class of errors that travels under this code; None for a code that this Locker does not know."""
    return {cls.code: cls for cls in _classes(LockerError)}.get(code)


def _classes(root: type[LockerError]) -> Iterator[type[LockerError]]:
    for cls in root.__subclasses__():
        yield cls
        yield from _classes(cls)


@contextlib.contextmanager
def borrowed(me: Path, service_id: str) -> Iterator[None]:
    """The core that runs over this Me lets this process write the service's store, to the end of the block or of it.

    Raises UserActionNeeded where none runs any more, NotFound, and Retry where another process has it.
    """
    door = _door(me, BORROW_S_MAX)
    if door is None:
        raise UserActionNeeded("The core went away.", remedy="Give the command again.")
    with door:
        _answer(me, _line(me, door, {"op": "borrow", "service": service_id}), names=("borrowed",))
        try:
            yield
        finally:
            # It closes its end when the service has gone on; a core that is gone has closed it by now.
            with contextlib.suppress(OSError):
                door.shutdown(socket.SHUT_WR)
                door.recv(1)


def _told(me: Path, operation: str, *, names: tuple[str, ...]) -> dict[str, str] | None:
    """What the core's socket answers, with at least these names; None when nobody listens there."""
    door = _door(me, SOCKET_DEADLINE_S)
    if door is None:
        return None
    with door:
        return _answer(me, _line(me, door, {"op": operation}), names=names)


def _answer(me: Path, line: bytes, *, names: tuple[str, ...]) -> dict[str, str]:
    path = console_path(me)
    try:
        answer = json.loads(line)
    except ValueError as err:
        raise Broken(f"{path} answered something that is not JSON.") from err
    problem = answer.get("problem") if isinstance(answer, dict) else None
    if isinstance(problem, dict):
        raise error_of(int(problem.get("status", 500)), problem)
    if not isinstance(answer, dict) or not all(isinstance(answer.get(name), str) for name in names):
        raise Broken(f"{path} answered without {' and '.join(names)}.")
    return answer


def _door(me: Path, deadline_s: float) -> socket.socket | None:
    """A connection to the core's socket; None when nobody listens there."""
    path = console_path(me)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.settimeout(deadline_s)
        door.connect(str(path))
    except BaseException as err:
        door.close()
        if isinstance(err, FileNotFoundError | NotADirectoryError | ConnectionRefusedError):
            return None
        if isinstance(err, TimeoutError):
            raise _mute(me) from err
        if isinstance(err, OSError):
            remedy = "Ask as the user who started Locker."
            raise UserActionNeeded(f"{path} cannot be asked: {err.strerror}.", remedy=remedy) from err
        raise
    return door


def _line(me: Path, door: socket.socket, request: dict[str, str]) -> bytes:
    """The line that the core answers; UserActionNeeded where it goes away before its end."""
    try:
        with door.makefile("rb") as lines:
            # Who is not heard any more may have been answered.
            with contextlib.suppress(BrokenPipeError):
                door.sendall(json.dumps(request).encode() + b"\n")
            line = lines.readline(LINE_BYTES_MAX)
    except TimeoutError as err:
        raise _mute(me) from err
    except OSError as err:
        raise _gone(me) from err
    if not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX:
        raise _gone(me)
    return line


def _mute(me: Path) -> ChildMute:
    return ChildMute(f"The core over {me} does not answer at {console_path(me)}.")


def _gone(me: Path) -> UserActionNeeded:
    remedy = f"See whether it runs: {typed('status', me=me)}. {_start_it(me)}"
    return UserActionNeeded(f"The core over {me} went away before it answered.", remedy=remedy)


def _decoded(answer: requests.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError as err:
        if not answer.ok:
            return None
        raise Broken(f"{answer.request.method} {answer.request.path_url} answered something that is not JSON.") from err

"""Calls to the core: what is sent, what a refusal becomes, and what happens when nobody answers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from connectors.sdk.core_client import CoreClient, refusal
from connectors.sdk.testing import FakeCore
from core.model import errors
from core.model.errors import BadRequest, Broken, Conflict, Forbidden, LockerError, Offline, TooBusy


@pytest.fixture
def client(core: FakeCore) -> CoreClient:
    """A client with its service's token."""
    return CoreClient(locker_url=core.url, service_id="me", token=core.identity("me").token)


def test_each_call_says_what_it_should(core: FakeCore, client: CoreClient) -> None:
    """Paths, methods and bodies are those of docs/protocols.md."""
    client.at("/sync/entry", 12.5)
    client.cancel("/sync/entry")
    client.hold("sync entry", 99.0)
    client.release("sync entry")
    client.committed(7)
    client.listen("contact", "/contacts")
    client.deafen("contact", "/contacts")
    client.diary("hello", 1)

    assert "event" == client.event("thing://me/#1", "new", {"a": 1})
    assert [
        ("POST", "at", {"at": 12.5, "path": "/sync/entry"}),
        ("DELETE", "at", {"path": "/sync/entry"}),
        ("POST", "hold", {"reason": "sync entry", "until": 99.0}),
        ("DELETE", "hold", {"reason": "sync entry"}),
        ("POST", "committed", {"seq": 7}),
        ("POST", "listen", {"type": "contact", "path": "/contacts"}),
        ("POST", "deafen", {"type": "contact", "path": "/contacts"}),
        ("POST", "diary", {"message": "hello", "level": 1}),
        ("POST", "event", {"idr": "thing://me/#1", "action": "new", "data": {"a": 1}}),
    ] == [(call.method, call.what, call.body) for call in core.calls]


def test_map_and_providers_are_read(core: FakeCore, client: CoreClient) -> None:
    """The installed services, without secrets."""
    core.map = {"installed": {}}

    assert {"installed": {}} == client.map()
    assert [] == client.providers("contact", "photo")


@pytest.mark.parametrize("error", [Forbidden("not yours"), BadRequest("what?"), Conflict("no"), TooBusy("later")])
def test_refused_call_is_visible(core: FakeCore, client: CoreClient, error: LockerError) -> None:
    """A refusal is raised as the core's own error, with its detail, remedy and time."""
    core.refuse("at", error)

    with pytest.raises(type(error), match=str(error)) as caught:
        client.at("/sync/x", 1.0)
    assert error.remedy == caught.value.remedy


def test_a_call_without_the_service_s_token_is_refused(core: FakeCore, client: CoreClient) -> None:
    """By the fake core as by the real one, and it counts as none."""
    with pytest.raises(Forbidden):
        CoreClient(locker_url=core.url, service_id="me", token="another").committed(1)
    client.committed(2)

    assert [{"seq": 2}] == core.asked("committed")


def test_a_refusal_is_not_repeated(core: FakeCore, client: CoreClient) -> None:
    """The core has answered: asking again cannot help."""
    core.refuse("at", TooBusy("later"))
    with pytest.raises(TooBusy):
        client.at("/sync/x", 1.0)

    assert 1 == len(core.asked("at"))


def _kinds(kind: type[LockerError]) -> list[type[LockerError]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in _kinds(child))]


@pytest.mark.parametrize("kind", _kinds(LockerError), ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_comes_back_as_itself(kind: type[LockerError]) -> None:
    """The problem's type names the class."""
    problem = {"type": kind.code, "detail": "because", "remedy": "Do.", "retry_after_s": 3.0}
    error = refusal(kind.status, problem, "POST /x")

    assert (kind, "POST /x: because", "Do.") == (type(error), error.detail, error.remedy)


@pytest.mark.parametrize(
    ("status", "kind"), [(418, errors.Reject), (500, errors.Broken), (503, errors.Retry), (429, errors.Retry)]
)
def test_an_unknown_refusal_is_told_by_its_status(status: int, kind: type[LockerError]) -> None:
    """A newer core may have errors that this SDK does not know."""
    assert kind is type(refusal(status, {"type": "something_new"}, "GET /x"))


def test_a_core_that_is_gone_is_offline(unused_port: int) -> None:
    """Nobody listens: told within a second or so, after a few tries."""
    client = CoreClient(locker_url=f"http://127.0.0.1:{unused_port}", service_id="me", token="t")
    started = time.monotonic()
    with pytest.raises(Offline):
        client.at("/sync/x", 1.0)

    assert time.monotonic() - started < 3


def test_calls_that_may_be_repeated_are(odd_core: Callable[[bytes | None], Any]) -> None:
    """A core that restarts just now answers the third try."""
    url, served = odd_core(None, None, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    CoreClient(locker_url=url, service_id="me", token="t").committed(1)

    assert 3 == len(served)


def test_a_published_event_is_never_sent_twice(odd_core: Callable[..., Any]) -> None:
    """It may have been taken before the answer was lost."""
    url, served = odd_core(None, None, None)
    with pytest.raises(Offline):
        CoreClient(locker_url=url, service_id="me", token="t").event("a://b/#1", "new", {})

    assert 1 == len(served)


def test_api_garbage_body(odd_core: Callable[..., Any]) -> None:
    """Something else listens there: an HTML page with status 200 is no answer of the core."""
    url, _ = odd_core(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")
    with pytest.raises(Broken, match="not JSON"):
        CoreClient(locker_url=url, service_id="me", token="t").map()


@pytest.mark.parametrize("half", [b"Content-Length: 9\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n9\r\n{"])
def test_an_answer_that_breaks_off_is_none(odd_core: Callable[..., Any], half: bytes) -> None:
    """A core that ends in the middle of its answer did not answer, and is asked again."""
    url, served = odd_core(*(b"HTTP/1.1 200 OK\r\n" + half for _ in range(3)))
    with pytest.raises(Offline):
        CoreClient(locker_url=url, service_id="me", token="t").committed(1)

    assert 3 == len(served)


def test_a_redirect_is_not_followed(odd_core: Callable[..., Any]) -> None:
    """The token goes to the core and nowhere else."""
    url, served = odd_core(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(Broken):
        CoreClient(locker_url=url, service_id="me", token="t").committed(1)

    assert 1 == len(served)


def test_threads_share_a_client(core: FakeCore, client: CoreClient) -> None:
    """Streams that run side by side use one."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(client.committed, range(40)))

    assert set(range(40)) == {body["seq"] for body in core.asked("committed")}


def test_the_token_is_not_shown(client: CoreClient, core: FakeCore) -> None:
    """A repr may land in a log."""
    assert core.identity("me").token not in repr(client)


@pytest.fixture
def unused_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def odd_core() -> Any:
    """A listener that answers each connection with the next of its replies; None closes without one."""
    listener = socket.create_server(("127.0.0.1", 0))
    served: list[bytes] = []
    threads: list[threading.Thread] = []

    def start(*replies: bytes | None) -> tuple[str, list[bytes]]:
        def serve() -> None:
            for reply in replies:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    served.append(connection.recv(65536))
                    if reply is not None:
                        connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        threads.append(thread)
        return f"http://127.0.0.1:{listener.getsockname()[1]}", served

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join(5)

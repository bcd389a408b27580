"""The owner's terminal at the core's socket."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from core.model.errors import AlreadyRunning, FolderUnusable, NotFound
from core.web import Console
from core.web.console import LINE_BYTES_MAX, console_path

T = TypeVar("T")
ANSWERS = {"ticket": lambda: {"url": "http://127.0.0.1:1", "token": "t"}, "login": lambda: {"url": "u"}}


class Shelf:
    """Lends what it has, once at a time, and notes what happens."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @asynccontextmanager
    async def lend(self, service_id: str) -> AsyncIterator[None]:
        """As the core does it."""
        if service_id != "feeds":
            raise NotFound(f"there is no {service_id}")
        self.told.append("lent")
        try:
            yield
        except asyncio.CancelledError:
            self.told.append("ending")
            raise
        finally:
            self.told.append("back")


def is_nobodys_child(_pid: int) -> bool:
    """Nobody is a child."""
    return False


def during(console: Console, act: Callable[[], T]) -> T:
    """What `act` gives in another thread while the console serves, on the core's own kind of loop."""

    async def run() -> T:
        await console.start()
        try:
            return await asyncio.to_thread(act)
        finally:
            await console.close()

    return uvloop.run(run())


def say(path: Path, line: bytes) -> Any:
    """What the console answers to one line; None when it just closes."""
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(10)
        door.connect(str(path))
        door.sendall(line)
        answer = door.makefile("rb").readline()
    return json.loads(answer) if answer else None


def test_a_command_is_given_a_token(tmp_path: Path) -> None:
    """One line of JSON each way."""
    path = console_path(tmp_path)
    console = Console(tmp_path, answers=ANSWERS, is_child=is_nobodys_child, lend=Shelf().lend)
    answers = during(console, lambda: [say(path, b'{"op": "ticket"}\n'), say(path, b'{"op": "login"}\n')])

    assert [{"url": "http://127.0.0.1:1", "token": "t"}, {"url": "u"}] == answers
    assert not path.exists()


def test_only_the_owner_can_reach_the_socket(tmp_path: Path) -> None:
    """0600, from its first moment that anybody can connect."""
    path = console_path(tmp_path)
    console = Console(tmp_path, answers=ANSWERS, is_child=is_nobodys_child, lend=Shelf().lend)
    mode = during(console, lambda: path.stat().st_mode)

    assert (True, 0o600) == (stat.S_ISSOCK(mode), stat.S_IMODE(mode))


def test_a_process_below_a_child_is_refused(tmp_path: Path) -> None:
    """A connector cannot make itself the owner; the kernel says who it is."""
    asked: list[int] = []

    def is_child(pid: int) -> bool:
        asked.append(pid)
        return True

    console = Console(tmp_path, answers=ANSWERS, is_child=is_child, lend=Shelf().lend)
    answer = during(console, lambda: say(console_path(tmp_path), b'{"op": "ticket"}\n'))

    assert "forbidden" == answer["problem"]["type"]
    assert 1 == len(asked)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b'{"op": "root"}\n',
        b'{"op": 7}\n',
        b"\xff\n",
        b"x" * (LINE_BYTES_MAX + 2),
        b"[" * 4000 + b"\n",
    ],
)
def test_nonsense_is_answered_with_a_problem(tmp_path: Path, line: bytes) -> None:
    """Not JSON, nothing known, too long: a problem, and the next caller is served."""
    path = console_path(tmp_path)
    console = Console(tmp_path, answers=ANSWERS, is_child=is_nobodys_child, lend=Shelf().lend)
    answers = during(console, lambda: [say(path, line), say(path, b'{"op": "login"}\n')])

    assert ["bad_request", "u"] == [answers[0]["problem"]["type"], answers[1]["url"]]


def test_a_store_is_lent_until_the_borrower_is_gone(tmp_path: Path) -> None:
    """However it goes; who asks for what there is not is refused, and others are answered meanwhile."""
    path, shelf = console_path(tmp_path), Shelf()
    console = Console(tmp_path, answers=ANSWERS, is_child=is_nobodys_child, lend=shelf.lend)

    def borrow() -> list[Any]:
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(str(path))
            door.sendall(b'{"op": "borrow", "service": "feeds"}\n')
            told = [json.loads(door.makefile("rb").readline()), say(path, b'{"op": "login"}\n'), list(shelf.told)]
            door.shutdown(socket.SHUT_WR)
            assert b"" == door.recv(1)
        return [*told, say(path, b'{"op": "borrow", "service": "nobody"}\n')["problem"]["type"]]

    assert [{"borrowed": "feeds"}, {"url": "u"}, ["lent"], "not_found"] == during(console, borrow)
    assert ["lent", "back"] == shelf.told


def test_borrowers_are_no_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as may borrow keep nobody from asking; one more is refused in words, and only until one is done."""
    monkeypatch.setattr("core.web.console.CALLERS_MAX", 2)
    monkeypatch.setattr("core.web.console.BORROWERS_MAX", 3)
    path, shelf = console_path(tmp_path), Shelf()
    console = Console(tmp_path, answers=ANSWERS, is_child=is_nobodys_child, lend=shelf.lend)
    wish = b'{"op": "borrow", "service": "feeds"}\n'

    def borrow() -> list[Any]:
        with ExitStack() as stack:
            doors = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3)]
            for door in doors:
                door.connect(str(path))
                door.sendall(wish)
                assert {"borrowed": "feeds"} == json.loads(door.makefile("rb").readline())
            told = [say(path, b'{"op": "login"}\n'), say(path, wish)["problem"]]
            doors[0].shutdown(socket.SHUT_WR)
            assert b"" == doors[0].recv(1)
            return [*told, say(path, wish)]

    login, refused, again = during(console, borrow)

    assert {"url": "u"} == login
    assert ("too_busy", "3 commands work on stores already.") == (refused["type"], refused["detail"])
    assert {"borrowed": "feeds"} == again


def test_too_many_callers_are_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says nothing takes a place until its time is up; the next is told, not cut off."""
    monkeypatch.setattr("core.web.console.CALLERS_MAX", 1)
    console = Console(tmp_path, answers=ANSWERS, is_child=is_nobodys_child, lend=Shelf().lend)

    def act() -> Any:
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(console_path(tmp_path)))
            with socket.socket(socket.AF_UNIX) as door:
                door.settimeout(10)
                door.connect(str(console_path(tmp_path)))
                return json.loads(door.makefile("rb").readline())

    assert "too_busy" == during(console, act)["problem"]["type"]


def test_a_core_that_ends_waits_for_no_borrower(tmp_path: Path) -> None:
    """The console closes at once, and the borrower is told by its connection."""
    path, shelf = console_path(tmp_path), Shelf()
    console = Console(tmp_path, answers=ANSWERS, is_child=is_nobodys_child, lend=shelf.lend)
    with socket.socket(socket.AF_UNIX) as door:

        def borrow() -> bytes:
            door.settimeout(10)
            door.connect(str(path))
            door.sendall(b'{"op": "borrow", "service": "feeds"}\n')
            return door.makefile("rb").readline()

        assert {"borrowed": "feeds"} == json.loads(during(console, borrow))
        assert b"" == door.recv(1)
    assert ["lent", "ending", "back"] == shelf.told


def test_an_unexpected_error_tells_nothing(tmp_path: Path) -> None:
    """Its text may hold a secret."""

    def broken() -> dict[str, str]:
        raise RuntimeError("secret")

    console = Console(tmp_path, answers={"ticket": broken}, is_child=is_nobodys_child, lend=Shelf().lend)
    answer = during(console, lambda: say(console_path(tmp_path), b'{"op": "ticket"}\n'))

    assert "broken" == answer["problem"]["type"]
    assert "secret" not in json.dumps(answer)


def test_a_socket_left_by_a_killed_core_is_replaced(tmp_path: Path) -> None:
    """Nobody answers there, so it is in nobody's use."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(console_path(tmp_path)))
    left.close()
    console = Console(tmp_path, answers=ANSWERS, is_child=is_nobodys_child, lend=Shelf().lend)

    assert {"url": "u"} == during(console, lambda: say(console_path(tmp_path), b'{"op": "login"}\n'))


def test_a_core_that_answers_is_left_alone(tmp_path: Path) -> None:
    """AlreadyRunning, and the first one goes on."""
    first = Console(tmp_path, answers=ANSWERS, is_child=is_nobodys_child, lend=Shelf().lend)
    second = Console(tmp_path, answers=ANSWERS, is_child=is_nobodys_child, lend=Shelf().lend)

    def act() -> Any:
        with pytest.raises(AlreadyRunning):
            asyncio.run(second.start())
        return say(console_path(tmp_path), b'{"op": "login"}\n')

    assert {"url": "u"} == during(first, act)


def test_another_file_of_that_name_is_not_removed(tmp_path: Path) -> None:
    """It may be somebody's."""
    path = console_path(tmp_path)
    path.write_text("mine")
    console = Console(tmp_path, answers=ANSWERS, is_child=is_nobodys_child, lend=Shelf().lend)

    with pytest.raises(FolderUnusable):
        asyncio.run(console.start())
    assert "mine" == path.read_text()


def test_a_long_path_has_a_short_name(tmp_path: Path) -> None:
    """Both sides find the same one; its folder is ours alone."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    path = console_path(deep)
    console = Console(deep, answers=ANSWERS, is_child=is_nobodys_child, lend=Shelf().lend)
    answer = during(console, lambda: (say(path, b'{"op": "login"}\n'), path.parent.stat().st_mode & 0o777))

    assert ({"url": "u"}, 0o700) == answer
    assert len(str(path)) <= 100
    assert path != console_path(tmp_path / ("d" * 60) / ("f" * 60))


def test_a_caller_that_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for its line is bounded."""
    monkeypatch.setattr("core.web.console.LINE_DEADLINE_S", 0.1)
    console = Console(tmp_path, answers=ANSWERS, is_child=is_nobodys_child, lend=Shelf().lend)

    def act() -> bytes:
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(10)
            door.connect(str(console_path(tmp_path)))
            return door.recv(10)

    assert b"" == during(console, act)

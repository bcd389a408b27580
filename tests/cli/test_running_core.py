"""The way to a running core, over a real socket and real HTTP."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.cli.neighbours import running_places
from core.cli.running_core import connect, console_path, error_of, find, way_to_a_core
from core.model import errors
from core.model.errors import Broken, ChildMute, Forbidden, NotFound, Reject, StorageFull, TooBusy, UserActionNeeded
from core.model.problem import problem_document
from core.web import console
from tests.cli.fake_core import TOKEN, FakeCore, running


def test_the_ticket_opens_the_api(core: FakeCore) -> None:
    """The token of the socket goes with every request, and proxies of the environment are not asked."""
    core.answer("GET", "/map", {"installed": {}})

    assert {"installed": {}} == connect(core.me).get("/map")
    assert [f"Bearer {TOKEN}"] == [asked.authorization for asked in core.asked]


def test_a_proxy_is_not_asked(core: FakeCore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command and its core are on one machine, whatever the environment says of proxies."""
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    core.answer("GET", "/map", {})

    assert {} == connect(core.me).get("/map")


def test_no_core_is_no_core(tmp_path: Path) -> None:
    """Without a socket, or with one that nobody serves, there is nothing to ask."""
    assert find(tmp_path / "nowhere") is None
    (tmp_path / "Me").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(console_path(tmp_path / "Me")))
    assert find(tmp_path / "Me") is None
    with pytest.raises(UserActionNeeded, match="No Locker is running"):
        connect(tmp_path / "Me")


def test_other_running_cores_are_named(tmp_path: Path) -> None:
    """Whoever forgot --me sees where the core that runs has its data; quoted, as a shell takes it."""
    here, there = tmp_path / "Me", tmp_path / "My Data"

    assert f"Start it with: python3 locker.py --me {here}" == way_to_a_core(here, [here])
    assert f"add --me '{there}' to the command" in way_to_a_core(here, [there])


def test_a_running_core_is_found_by_its_lock(tmp_path: Path) -> None:
    """By the words of its command line and the lock that it holds open; a core that has gone is not."""
    held = f"import time; lock = open({str(tmp_path / 'core.lock')!r}, 'w'); print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", held, "core.cli"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as core:
        assert core.stdout is not None
        core.stdout.readline()
        while_running = running_places()
        core.kill()
    assert tmp_path in while_running
    assert tmp_path not in running_places()


@pytest.mark.parametrize("cls", [errors.BadRequest, errors.ServiceDisabled, errors.MethodNotAllowed])
def test_default_cures_are_for_a_terminal(cls: type[errors.LockerError]) -> None:
    """What the core advises to programs is put in the words of commands."""
    document = {"type": cls.code, "detail": "x", "remedy": cls.default_remedy}

    assert not any(word in error_of(400, document).remedy for word in ("POST", "request", "header"))


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    """A Me deep down is found too."""
    me = tmp_path / ("d" * 60) / ("e" * 60) / "Me"
    with running(me) as core:
        core.answer("GET", "/map", {"deep": True})

        assert {"deep": True} == connect(me).get("/map")


@pytest.mark.parametrize("length", [10, 60, 80, 120, 300])
def test_both_sides_go_by_one_rule(length: int) -> None:
    """The commands look where the core listens."""
    me = Path("/") / ("d" * length) / "Me"

    assert console.console_path(me) == console_path(me)


@pytest.mark.parametrize("line", [b"\n", b"not json\n", b"[]\n", b'{"url": "x"}\n', b'{"problem": 5}\n'])
def test_a_garbled_ticket_is_broken(core: FakeCore, line: bytes) -> None:
    """Whatever else listens there does not bring a command to its knees."""
    core.line = line
    with pytest.raises(Broken):
        connect(core.me)


@pytest.mark.parametrize("line", [b"", b'{"url": "http://'])
def test_a_core_that_goes_away_before_its_answer_is_told_so(core: FakeCore, line: bytes) -> None:
    """An answer without an end is none, whoever of the two was faster."""
    core.line = line
    with pytest.raises(UserActionNeeded, match="went away before it answered"):
        connect(core.me)


def test_a_refusal_is_heard_by_who_is_not(me: Path) -> None:
    """A core that has too many callers answers before it is asked, and hangs up."""
    me.mkdir()
    refusal = json.dumps({"problem": problem_document(TooBusy("Too many."))}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(console_path(me)))
        door.listen()

        def refuse() -> None:
            caller, _ = door.accept()
            with caller:
                caller.sendall(refusal)

        with ThreadPoolExecutor(1) as pool:
            for _ in range(20):
                pool.submit(refuse)
                with pytest.raises(TooBusy, match="Too many"):
                    find(me)


def test_a_refused_ticket_is_the_refusal(core: FakeCore) -> None:
    """A command started by a connector hears why it gets nothing."""
    core.line = json.dumps({"problem": problem_document(Forbidden("A connector may not ask here."))}).encode() + b"\n"
    with pytest.raises(Forbidden, match="A connector may not ask here"):
        connect(core.me)


def test_a_silent_socket_is_not_waited_for(me: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that hangs is told of within the deadline."""
    monkeypatch.setattr("core.cli.running_core.SOCKET_DEADLINE_S", 0.1)
    me.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(console_path(me)))
        silent.listen()
        with pytest.raises(ChildMute):
            find(me)


def test_a_problem_is_raised_as_its_error(core: FakeCore) -> None:
    """Class, words and cure survive the way."""
    core.answer("POST", "/x", problem_document(StorageFull("The disk is full.", remedy="Free some.")), status=507)
    with pytest.raises(StorageFull, match="The disk is full") as caught:
        connect(core.me).ask("POST", "/x")

    assert "Free some." == caught.value.remedy


@pytest.mark.parametrize(
    ("status", "problem", "expected"),
    [
        (404, {"type": "not_found", "detail": "x"}, NotFound),
        (405, {"type": "method_not_allowed", "detail": "x"}, Reject),
        (422, {"type": "manifest_invalid", "detail": "x"}, errors.ManifestInvalid),
        (400, {"type": "unheard_of", "detail": "x"}, Reject),
        (500, {"type": "unheard_of"}, Broken),
        (502, None, Broken),
        (401, "text", Reject),
    ],
)
def test_an_unknown_problem_goes_by_its_status(
    status: int, problem: object, expected: type[errors.LockerError]
) -> None:
    """A newer core's refusals are understood as far as they can be."""
    error = error_of(status, problem)

    assert expected is type(error)
    assert error.detail and error.remedy


def test_a_garbled_answer_is_broken(core: FakeCore) -> None:
    """An answer that is not JSON is not taken for one."""
    core.answer("GET", "/map", b"<html>")
    with pytest.raises(Broken):
        connect(core.me).get("/map")


def test_an_answer_that_breaks_off_is_a_core_that_went_away(core: FakeCore) -> None:
    """A core that is stopped in the middle of an answer is told like one that was stopped before it."""
    core.answer("GET", "/map", {"installed": {}}, cut_bytes=5)
    with pytest.raises(UserActionNeeded, match="went away"):
        connect(core.me).get("/map")


def test_a_core_that_goes_away_is_named(me: Path) -> None:
    """Between ticket and request the core may end."""
    with running(me) as core:
        running_core = connect(me)
    with pytest.raises(UserActionNeeded, match="went away"):
        running_core.get("/map")
    assert [] == core.asked

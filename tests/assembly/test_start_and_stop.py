"""One core from start to end: one per Me, a port that never moves silently, and an end that always comes."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from core.cli import exits
from core.cli.options import read_config
from core.cli.running_core import find
from tests.fakes.house import ROOT, open_house


def _run(me: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = me.parent / "config"
    config.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "core.cli", "run", "--me", str(me), "--config", str(config), "--no-browser"]
    return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30)


def test_one_core_per_me(tmp_path: Path) -> None:
    """A second core over the same Me says who has it, and leaves the first one alone (AlreadyRunning)."""
    with open_house(tmp_path) as house:
        second = _run(house.me, "--port", "0")

        assert house.process is not None
        assert 0 != second.returncode
        assert f"process {house.process.pid} at http://locker.localhost:{house.port}" in second.stdout + second.stderr
        assert house.get("/health").ok


def _make_a_file(me: Path) -> None:
    me.write_text("not a folder")


def _point_in_a_circle(me: Path) -> None:
    me.symlink_to(me)


def _put_a_file_inside(me: Path) -> None:
    me.mkdir()
    (me / "logs").write_text("not a folder")


def _put_a_folder_for_the_log(me: Path) -> None:
    (me / "logs" / "core.log").mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_make_a_file, "Me"),
        (_point_in_a_circle, "Me"),
        (_put_a_file_inside, "Me/logs"),
        (_put_a_folder_for_the_log, "Me/logs/core.log"),
    ],
)
def test_a_place_that_cannot_be_me_is_told_in_words(tmp_path: Path, spoil: Callable[[Path], None], named: str) -> None:
    """FolderUnusable: the path and what is wrong with it, and no traceback."""
    spoil(tmp_path / "Me")
    ended = _run(tmp_path / "Me", "--port", "0")

    assert exits.OWNER_MUST_ACT == ended.returncode
    assert "" == ended.stdout
    what, cure = ended.stderr.splitlines()
    assert f"{tmp_path / named} " in what
    assert cure


@pytest.mark.parametrize("me", ["/sys/locker", "/proc/locker", "/dev/null"])
def test_a_place_of_the_system_is_refused_in_words(tmp_path: Path, me: str) -> None:
    """FolderUnusable where no folder can be made at all."""
    config = str(tmp_path)
    command = [sys.executable, "-m", "core.cli", "run", "--me", me, "--config", config, "--no-browser", "--port", "0"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)

    assert (exits.OWNER_MUST_ACT, 2) == (ended.returncode, len(ended.stderr.splitlines()))
    assert f"{me} " in ended.stderr


@pytest.mark.parametrize("target", ["data", "not/yet/there"])
def test_me_may_be_a_link_to_a_folder(tmp_path: Path, target: str) -> None:
    """The data goes where the link leads, commands by either name find the core, and a child runs."""
    (tmp_path / "data").mkdir()
    (tmp_path / "Me").symlink_to(tmp_path / target)
    with open_house(tmp_path) as house:
        house.install("feeds")

        assert house.get("/Me/feeds/status").ok
        assert find(tmp_path / target) is not None
        assert (tmp_path / target / "feeds" / "store.db").is_file()


def test_a_link_too_long_for_a_socket_is_found_by_either_name(tmp_path: Path) -> None:
    """Core and commands agree on the short socket, whichever name of the folder each was given."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    (tmp_path / "Me").symlink_to(deep)
    with open_house(tmp_path) as house:
        found = [find(read_config(path, house.config).me) for path in (tmp_path / "Me", deep)]

        assert [house.url, house.url] == [core.url for core in found if core is not None]


def test_the_terminal_shows_two_lines_from_start_to_end(tmp_path: Path) -> None:
    """Where it is, and that it stops: a Ctrl-C brings no traceback of anything that was started."""
    with open_house(tmp_path) as house:
        house.install("feeds")
        assert house.get("/Me/feeds/status").ok
        house.stop()

        assert [f"Locker is ready: {house.login_url}", "Stopping. Press Ctrl-C again to stop at once."] == house.output


def test_a_taken_port_is_never_moved(tmp_path: Path) -> None:
    """Who holds the port is named, and Locker does not start elsewhere (PortTaken)."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        ended = _run(tmp_path / "Me", "--port", str(port))

    assert 0 != ended.returncode
    assert f"port {port} is in use by" in ended.stdout + ended.stderr
    assert f"process {psutil.Process().pid}" in ended.stdout + ended.stderr
    assert "--port N" in ended.stdout + ended.stderr


def test_another_locker_on_the_port_is_told_by_its_me(tmp_path: Path) -> None:
    """So that its owner knows which of them to stop, or to use."""
    with open_house(tmp_path / "first") as house:
        ended = _run(tmp_path / "Me", "--port", str(house.port))

    assert f"port {house.port} is in use by another Locker, over {house.me} (process " in ended.stdout + ended.stderr


def test_nobody_else_gets_the_port_by_another_address(tmp_path: Path) -> None:
    """A browser may take locker.localhost to ::1: the core is there too, and does not start where somebody else is."""
    with open_house(tmp_path) as house:
        with socket.create_connection(("::1", house.port), timeout=5) as stream:
            stream.sendall(f"GET /health HTTP/1.1\r\nHost: locker.localhost:{house.port}\r\n\r\n".encode())

            assert stream.recv(100).startswith(b"HTTP/1.1 200")
        house.stop()
        with socket.create_server(("::1", house.port), family=socket.AF_INET6):
            ended = _run(house.me, "--port", str(house.port))

    assert 0 != ended.returncode
    assert f"port {house.port} is in use by" in ended.stdout + ended.stderr


def test_the_lock_goes_with_a_killed_core(tmp_path: Path) -> None:
    """After kill -9 the next core starts over the same Me on the same port."""
    with open_house(tmp_path) as house:
        port = house.port
        house.kill()
        house.start()

        assert port == house.port


def test_everything_under_me_is_the_owners_alone(tmp_path: Path) -> None:
    """Folders 0700, files 0600, sockets included."""
    with open_house(tmp_path) as house:
        house.install("feeds")
        assert house.get("/Me/feeds/status").ok
        paths = [house.me, *house.me.rglob("*")]
        wide = [str(path) for path in paths if not path.is_symlink() and stat.S_IMODE(path.lstat().st_mode) & 0o077]

    assert [] == wide


def test_ctrl_c_ends_everything_within_five_seconds(tmp_path: Path) -> None:
    """Children, warm parent and core are gone, open event streams and a deaf child included."""
    config = tmp_path / "config"
    config.mkdir()
    paths = [str(ROOT / "connectors"), str(ROOT / "tests" / "fakes" / "programs")]
    (config / "locker.toml").write_text(f"connector_paths = {json.dumps(paths)}\n")
    with open_house(tmp_path) as house:
        for connector in ("feeds", "deaf-to-sigterm"):
            house.install(connector)
        assert house.get("/Me/feeds/status").ok
        assert house.get("/Me/deaf-to-sigterm/").ok
        with house.get("/events", stream=True) as stream:
            assert stream.ok
            below = house.children()
            began = time.monotonic()
            status = house.stop()
            took_s = time.monotonic() - began
        _, alive = psutil.wait_procs(below, timeout=1)

    assert 0 == status
    assert [] == alive
    assert took_s < 5.5, took_s


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    """Who does not want to wait for a deaf child does not wait."""
    config = tmp_path / "config"
    config.mkdir()
    (config / "locker.toml").write_text(
        f"connector_paths = {json.dumps([str(ROOT / 'tests' / 'fakes' / 'programs')])}\n"
    )
    with open_house(tmp_path) as house:
        house.install("deaf-to-sigterm")
        assert house.get("/Me/deaf-to-sigterm/").ok
        below = house.children()
        assert house.process is not None
        house.process.send_signal(signal.SIGINT)
        house.wait(
            lambda: any("Press Ctrl-C again" in line for line in house.output), what="the word of the first Ctrl-C"
        )
        began = time.monotonic()
        house.process.send_signal(signal.SIGINT)
        house.process.wait(5)
        took_s = time.monotonic() - began
        _, alive = psutil.wait_procs(below, timeout=2)

    assert took_s < 1.0
    assert [] == alive


def test_a_damaged_key_file_stops_the_start(tmp_path: Path) -> None:
    """A key that is no key is said so and left as it is; no other one is made."""
    with open_house(tmp_path) as house:
        house.stop()
        key = house.me / "key"
        key.write_bytes(b"short")
        ended = _run(house.me, "--port", "0")

        assert exits.OWNER_MUST_ACT == ended.returncode
        what, cure = (ended.stdout + ended.stderr).splitlines()
        assert str(key) in what
        assert "Restore Me/key" in cure
        assert b"short" == key.read_bytes()


@pytest.mark.parametrize("name", ["locker.json", "core.db"])
def test_a_damaged_file_of_the_core_is_set_aside_and_told(tmp_path: Path, name: str) -> None:
    """Garbage in a file of the core's own does not keep it from starting, is kept, and is told to the owner."""
    with open_house(tmp_path) as house:
        house.stop()
        (house.me / name).write_bytes(b"\x00garbage" * 600)
        for beside in house.me.glob(f"{name}-*"):
            beside.unlink()
        house.start()

        assert house.get("/map").ok
        kept = [path for path in house.me.iterdir() if path.name.startswith(name) and b"garbage" in path.read_bytes()]
        assert kept


def test_a_refused_start_leaves_nothing_behind(tmp_path: Path) -> None:
    """PortTaken before Me is made: no half-made folder stays."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        ended = _run(tmp_path / "Me", "--port", str(holder.getsockname()[1]))

    assert exits.OWNER_MUST_ACT == ended.returncode
    assert not (tmp_path / "Me").exists()

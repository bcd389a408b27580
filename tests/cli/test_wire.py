"""`store serve`: one store, one server, until Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.cli import exits
from core.model.errors import TokenRequired
from core.model.fact import Change
from core.netstore import NetworkStore
from tests.cli.conftest import Locker
from tests.fakes.house import ROOT

TOKEN = "a-token-of-more-than-thirty-two-letters"


@contextmanager
def serving(*words: str, lines: int) -> Iterator[list[str]]:
    """A server as the command line starts it, and the lines that it said."""
    command = [sys.executable, "-B", "-m", "core.cli", "store", "serve", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield [server.stdout.readline() for _ in range(lines)]
        server.send_signal(signal.SIGINT)
        assert 0 == server.wait(20)


def test_a_store_is_served_at_its_socket_and_kept(tmp_path: Path) -> None:
    """What was written is there at the next start."""
    folder = tmp_path / "shelf"
    for head in (1, 2):
        with serving(str(folder), *(["--create"] if head == 1 else []), lines=1) as said:
            assert str(folder / "store.sock") in said[0]
            with NetworkStore(str(folder / "store.sock"), transport="unix") as store:
                store.commit([Change(type="note", key="a", value={"n": head})])
                assert head == store.head()
    assert not (folder / "store.sock").exists()


def test_a_store_is_made_only_where_that_is_asked_for(tmp_path: Path, locker: Locker) -> None:
    """A name that was mistyped is told, whether a folder stands there or not, and nothing is made."""
    (tmp_path / "there").mkdir()
    for name in ("there", "not there"):
        done = locker("store", "serve", str(tmp_path / name))

        assert exits.REFUSED == done.code
        assert f"There is no store in {tmp_path / name}." == done.err.splitlines()[0]
        assert "--create" in done.err.splitlines()[1]
    assert [tmp_path / "there"] == list(tmp_path.iterdir())
    assert [] == list((tmp_path / "there").iterdir())


def test_over_tcp_a_token_is_needed(tmp_path: Path) -> None:
    """By a file, never by an argument; a wrong one opens nothing."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    words = (str(tmp_path / "shelf"), "--create", "--tcp", "127.0.0.1:0", "--token-file", str(file))
    with serving(*words, lines=2) as said:
        port = said[1].split()[-1].rstrip(".")
        with NetworkStore(f"127.0.0.1:{port}", token=TOKEN) as store:
            store.commit([Change(type="note", key="a", value={})])
        with pytest.raises(TokenRequired), NetworkStore(f"127.0.0.1:{port}", token="x" * 40) as store:
            store.counts()


@pytest.mark.parametrize(("content", "told"), [(b"\xff\xfe", "cannot be read as text"), (b"short", "fewer than 32")])
def test_a_token_that_is_none_is_refused(tmp_path: Path, locker: Locker, content: bytes, told: str) -> None:
    """With what to do, and before anything is made."""
    (tmp_path / "token").write_bytes(content)
    done = locker("store", "serve", str(tmp_path / "shelf"), "--tcp", "--token-file", str(tmp_path / "token"))

    assert exits.REFUSED == done.code
    assert told in done.err.splitlines()[0]
    assert 2 == len(done.err.splitlines())
    assert not (tmp_path / "shelf").exists()


def test_tcp_without_token_or_its_renunciation_is_refused(tmp_path: Path) -> None:
    """The cure is named, and nothing is made."""
    asked = subprocess.run(
        [sys.executable, "-B", "-m", "core.cli", "store", "serve", str(tmp_path / "shelf"), "--tcp"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert asked.returncode != 0
    assert "--token-file" in asked.stderr
    assert not (tmp_path / "shelf").exists()

"""Landlock by ctypes, tried in processes of its own."""

from __future__ import annotations

import itertools
import json
import mimetypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.process import sandbox
from core.process.sandbox import Sandbox, handled_rights, landlock_abi, readable_folder_of, restrict

ROOT = Path(__file__).resolve().parents[2]
needs_landlock = pytest.mark.skipif(landlock_abi() < 1, reason="needs a kernel with Landlock")

PROBE = """
import json, os, sys
from core.process.sandbox import Sandbox, restrict
own, other, abi = sys.argv[1], sys.argv[2], int(sys.argv[3])
restrict(Sandbox(own=(own,), runs=(sys.prefix, sys.base_prefix), reads=("/nowhere/at/all",)), abi=abi)
done = {}
def attempt(name, deed):
    try:
        deed()
        done[name] = True
    except OSError:
        done[name] = False
attempt("write", lambda: open(own + "/a", "w").close())
attempt("truncate", lambda: os.truncate(own + "/a", 0))
attempt("folder", lambda: os.mkdir(own + "/b"))
attempt("rename", lambda: os.rename(own + "/a", own + "/b/a"))
attempt("remove", lambda: os.remove(own + "/b/a"))
attempt("remove folder", lambda: os.rmdir(own + "/b"))
attempt("symlink", lambda: os.symlink("/etc/passwd", own + "/link"))
attempt("fifo", lambda: os.mkfifo(own + "/fifo"))
attempt("read other", lambda: open(other + "/secret").read())
attempt("list other", lambda: os.listdir(other))
attempt("null", lambda: open("/dev/null", "w").write("x"))
attempt("random", lambda: open("/dev/urandom", "rb").read(1))
attempt("itself", lambda: open("/proc/self/statm").read())
attempt("parent", lambda: open(f"/proc/{os.getppid()}/environ").read())
attempt("execute", lambda: os.spawnv(os.P_WAIT, "/bin/true", ["true"]) and 1 / 0)
print(json.dumps(done))
"""


def probe(tmp_path: Path, *, abi: int) -> dict[str, bool]:
    """What a process in a sandbox of this version could do."""
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    (other / "secret").write_text("secret")
    command = [sys.executable, "-c", PROBE, str(own), str(other), str(abi)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    done: dict[str, bool] = json.loads(answer.stdout)
    return done


@needs_landlock
def test_own_folder_and_nothing_else(tmp_path: Path) -> None:
    """INV-11: files and folders of its own are made, moved and removed; links, pipes and all else are refused."""
    done = probe(tmp_path, abi=landlock_abi())

    assert {"symlink", "fifo", "read other", "list other", "parent"} == {
        name for name, is_done in done.items() if not is_done
    }


@needs_landlock
@pytest.mark.parametrize("abi", [1, 2, 3, 5, 6])
def test_older_kernels_withhold_what_they_can(tmp_path: Path, abi: int) -> None:
    """Asking an earlier version's rights of a later kernel works: the walls are those of that version."""
    if abi > landlock_abi():
        pytest.skip(f"this kernel has Landlock ABI {landlock_abi()}")
    done = probe(tmp_path, abi=abi)

    assert (False, False, False, True) == (done["read other"], done["symlink"], done["parent"], done["write"])
    assert (abi >= sandbox.ABI_REFER) == done["rename"]


def test_without_landlock_nothing_is_withheld(tmp_path: Path) -> None:
    """Version 0 stands for a system that has none."""
    assert all(done for name, done in probe(tmp_path, abi=0).items())


def test_rights_grow_with_the_version() -> None:
    """Each version handles what the one before did, and knows no right of a later one."""
    rights = [handled_rights(abi) for abi in range(1, 8)]

    assert all(older & newer == older for older, newer in itertools.pairwise(rights))
    assert 0 == rights[0] & (sandbox.REFER | sandbox.TRUNCATE | sandbox.IOCTL_DEV)
    assert rights[-1] == (1 << 16) - 1


@needs_landlock
def test_a_refusing_kernel_is_an_error() -> None:
    """What the kernel does not accept is never passed over."""
    with pytest.raises(OSError, match="system call 444"):
        sandbox._syscall(sandbox.SYSCALL_CREATE_RULESET, None, 0, 99)
    with pytest.raises(OSError, match="prctl"):
        sandbox.set_process_option(sandbox.PR_SET_NO_NEW_PRIVS, 2)


def test_no_own_folder_allows_links_devices_or_programs() -> None:
    """INV-11: a child's folder never gives a child what could lead the core astray."""
    own = dict(Sandbox(own=("/me/github",), runs=(), reads=()).rules())["/me/github"]
    forbidden = sandbox.MAKE_SYM | sandbox.MAKE_FIFO | sandbox.MAKE_CHAR | sandbox.MAKE_BLOCK | sandbox.EXECUTE

    assert 0 == own & forbidden


def test_what_python_opens_unasked_is_open() -> None:
    """`mimetypes` reads every list of types it finds; one it may not read would stop a connector."""
    asked = {str(file) for file in mimetypes.knownfiles if not str(file).startswith(sandbox.SYSTEM_RUN)}

    assert set() == asked - set(sandbox.SYSTEM_READ)


def test_a_sandbox_travels_as_json() -> None:
    """Written and read it is the same."""
    walls = Sandbox(own=("/a",), runs=("/b", "/c"), reads=())

    assert walls == Sandbox.from_document(json.loads(json.dumps(walls.as_document())))


def test_programs_bring_their_own_installation(tmp_path: Path) -> None:
    """A program of the system needs nothing more; one of a prefix its bin and lib; a lone one only itself."""
    prefix, lone = tmp_path / "node", tmp_path / "home"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib").mkdir()
    (prefix / "bin" / "node").touch()
    (lone / "bin").mkdir(parents=True)
    (lone / "bin" / "tool").touch()
    os.symlink(prefix / "bin" / "node", lone / "bin" / "node")

    assert () == readable_folder_of("/bin/sh")
    assert (str(prefix / "bin"), str(prefix / "lib")) == readable_folder_of(str(lone / "bin" / "node"))
    assert (str(lone / "bin" / "tool"),) == readable_folder_of(str(lone / "bin" / "tool"))


def test_abi_0_restricts_nothing() -> None:
    """In this very process, which goes on as it was."""
    restrict(Sandbox(own=(), runs=(), reads=()), abi=0)

    assert Path("/proc/self/status").read_text()

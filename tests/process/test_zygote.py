"""The warm parent: what it hands its children, and what happens when it dies."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from core.model.errors import ChildDied, Retry
from core.process import Failed, Running, Stopped, Zygote
from core.process.inside import Entry
from core.process.launcher import minimal_environment
from core.process.zygote import CHECKOUT
from tests.process.yard import Yard, is_living, until, warm_parent

pytestmark = pytest.mark.skipif(not Zygote.is_possible(), reason="needs Linux")
CYCLES = 50


@asynccontextmanager
async def warm_yard(tmp_path: Path, zygote: Zygote) -> AsyncIterator[Yard]:
    """A yard with this warm parent, which is closed at the end."""
    me = tmp_path / "Me"
    me.mkdir()
    try:
        async with Yard(me, zygote=zygote) as yard:
            yield yard
    finally:
        zygote.close()


def test_it_is_a_process_of_its_own_with_one_thread(tmp_path: Path) -> None:
    """It was executed, not forked from the core; it has a minimal environment, one thread, and a session of its own."""

    async def scenario() -> None:
        zygote = warm_parent("http.server")
        async with warm_yard(tmp_path, zygote) as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("obedient"))
            assert zygote.pid is not None
            parent = psutil.Process(zygote.pid)

            assert "core.process.warm_parent" in parent.cmdline()
            assert 1 == parent.num_threads()
            assert set(minimal_environment(os.environ)) == set(parent.environ())
            assert zygote.pid == os.getsid(zygote.pid)
            assert zygote.pid == psutil.Process(endpoint.pid).ppid()

    asyncio.run(scenario())


def test_children_find_what_was_imported(tmp_path: Path) -> None:
    """What the warm parent imported is there without another import; its own doings are not."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "connector.py").write_text(
        "import sys\n"
        'sys.exit(f\'{"sqlite3" in sys.modules} {__name__} {sys.modules["__main__"].__file__} {sys.argv}\')\n'
    )

    async def scenario() -> None:
        async with warm_yard(tmp_path, warm_parent("sqlite3")) as yard:
            with pytest.raises(ChildDied) as died:
                await yard.supervisor.ensure_running(yard.add("source", source=source))

            assert f"True __main__ {source}/connector.py ['connector.py']" in str(died.value)

    asyncio.run(scenario())


def test_a_script_in_a_folder_finds_what_lies_beside_it(tmp_path: Path) -> None:
    """`run = "python src/connector.py"` imports from src, as Python itself would have it."""
    source = tmp_path / "source"
    (source / "src").mkdir(parents=True)
    (source / "src" / "beside.py").write_text("WORD = 'beside'\n")
    (source / "src" / "connector.py").write_text("import os, sys, beside\nsys.exit(beside.WORD + ' ' + os.getcwd())\n")

    async def scenario() -> None:
        async with warm_yard(tmp_path, warm_parent()) as yard:
            name = yard.add("source", source=source, argv=("python", "src/connector.py"))
            with pytest.raises(ChildDied, match=f"beside {source}"):
                await yard.supervisor.ensure_running(name)

    asyncio.run(scenario())


def test_a_core_that_left_messages_unread_is_gone_all_the_same(tmp_path: Path) -> None:
    """INV-05: the line broken with answers still in it ends the warm parent and its children in order."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "connector.py").write_text("import sys, time\ntime.sleep(60)\n")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "core.process.warm_parent", "--line", str(theirs.fileno())]
    entry = Entry(
        name="test", argv=("connector.py",), script=str(source / "connector.py"), source=str(source), path=(),
        packages=(), environment=None, open_files_max=64, abi=0, walls=None,
    )  # fmt: skip
    with subprocess.Popen(command, cwd=CHECKOUT, pass_fds=[theirs.fileno()], start_new_session=True) as parent:
        theirs.close()
        null = os.open(os.devnull, os.O_RDWR)
        socket.send_fds(ours, [json.dumps({"id": 1, "entry": entry.to_json()}).encode()], [null, null, null])
        asyncio.run(until(lambda: psutil.Process(parent.pid).children()))
        child = psutil.Process(parent.pid).children()[0].pid
        ours.close()
        os.close(null)
        status = parent.wait(15)

    assert (0, False) == (status, is_living(child))


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [
        ("sys.exit(3)", "ended with exit status 3"),
        ("sys.exit()", "ended with exit status 0"),
        ("sys.exit('a text')", "ended with exit status 1"),
        ("1 / 0", "ended with exit status 1"),
        ("os._exit(77)", "ended with exit status 77"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL"),
        ("atexit.register(os._exit, 5)", "ended with exit status 5"),
        ("threading.Timer(0.1, os._exit, [6]).start()", "ended with exit status 6"),
    ],
)
def test_exit_statuses_are_right(tmp_path: Path, ending: str, sentence: str) -> None:
    """A forked script ends as it would have by itself: status, exit handlers, threads still at work."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "connector.py").write_text(f"import atexit, os, signal, sys, threading\n{ending}\n")

    async def scenario() -> None:
        async with warm_yard(tmp_path, warm_parent()) as yard:
            with pytest.raises(ChildDied, match=sentence):
                await yard.supervisor.ensure_running(yard.add("source", source=source))

    asyncio.run(scenario())


def test_a_module_that_cannot_be_imported_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """INV-09: a broken module stops neither the warm parent nor children that do without it."""

    async def scenario() -> None:
        async with warm_yard(tmp_path, warm_parent("no.such.module", "http.server")) as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("obedient"))

            assert b"obedient" in await yard.get(endpoint)

    asyncio.run(scenario())

    assert "module=no.such.module problem=ModuleNotFoundError" in caplog.text


def test_children_outlive_its_death(tmp_path: Path) -> None:
    """The warm parent is killed: its children go on and are watched to their end; the next ones come from another."""

    async def scenario() -> None:
        zygote = warm_parent("http.server")
        async with warm_yard(tmp_path, zygote) as yard:
            name, other = yard.add("obedient"), yard.add("obedient", service_id="other")
            first = await yard.supervisor.ensure_running(name)
            second = await yard.supervisor.ensure_running(other)
            old_parent = zygote.pid
            assert old_parent is not None
            os.kill(old_parent, signal.SIGKILL)
            await until(lambda: zygote.pid not in (old_parent, None))
            answer = await yard.get_json(await yard.supervisor.ensure_running(name))
            os.kill(first.pid, signal.SIGKILL)
            await until(lambda: not isinstance(yard.supervisor.state(name), Running))
            new = await yard.supervisor.ensure_running(name)
            await yard.supervisor.stop(other, reason="test")

            assert first.pid == answer["pid"]
            assert zygote.pid == psutil.Process(new.pid).ppid()
            assert not is_living(second.pid)
            assert isinstance(yard.supervisor.state(other), Stopped)

    asyncio.run(scenario())


def test_start_does_not_wait_for_a_dead_parent(tmp_path: Path) -> None:
    """While there is no warm parent a child is spawned plainly."""

    async def scenario() -> None:
        zygote = Zygote(python="/bin/false", environment={"PATH": os.environ["PATH"]})
        zygote.start()
        async with warm_yard(tmp_path, zygote) as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("obedient"))

            assert os.getpid() == psutil.Process(endpoint.pid).ppid()

    asyncio.run(scenario())


def test_a_parent_that_hangs_is_replaced(tmp_path: Path) -> None:
    """INV-10: a fork has a deadline; past it the child is spawned plainly and the warm parent replaced."""

    async def scenario() -> None:
        zygote = Zygote(environment=minimal_environment(os.environ), fork_deadline_s=0.2)
        zygote.start()
        async with warm_yard(tmp_path, zygote) as yard:
            await yard.supervisor.ensure_running(yard.add("obedient"))
            hung = zygote.pid
            assert hung is not None
            os.kill(hung, signal.SIGSTOP)
            endpoint = await yard.supervisor.ensure_running(yard.add("obedient", service_id="other"))
            await until(lambda: zygote.pid not in (hung, None))

            assert os.getpid() == psutil.Process(endpoint.pid).ppid()
            assert not psutil.pid_exists(hung)

    asyncio.run(scenario())


def test_a_stop_does_not_wait_for_the_parent_to_warm_up(tmp_path: Path) -> None:
    """INV-05: closing while a child is still being asked for ends within its deadline."""

    async def scenario() -> None:
        zygote = Zygote(environment=minimal_environment(os.environ))
        zygote.start()
        async with warm_yard(tmp_path, zygote) as yard:
            assert zygote.pid is not None
            os.kill(zygote.pid, signal.SIGSTOP)
            starting = asyncio.create_task(yard.supervisor.ensure_running(yard.add("obedient")))
            await until(lambda: yard.greetings)
            async with asyncio.timeout(3.0):
                await yard.supervisor.close(deadline_s=3.0)
            with pytest.raises(Retry):
                await starting
            os.kill(zygote.pid, signal.SIGCONT)

    asyncio.run(scenario())


def test_closing_ends_it(tmp_path: Path) -> None:
    """After close there is no warm parent, and none comes back."""

    async def scenario() -> int:
        zygote = warm_parent()
        async with warm_yard(tmp_path, zygote) as yard:
            await yard.supervisor.ensure_running(yard.add("obedient"))
            assert zygote.pid is not None
            return zygote.pid

    pid = asyncio.run(scenario())

    assert not psutil.pid_exists(pid)


def test_descriptors_do_not_leak(tmp_path: Path, make_yard: Callable[..., Yard], zygote: Zygote | None) -> None:
    """INV-10: fifty children later neither the core nor the warm parent holds a descriptor more."""

    def held(pid: int | None) -> int:
        return 0 if pid is None else len(os.listdir(f"/proc/{pid}/fd"))

    async def scenario() -> None:
        async with make_yard() as yard:
            name, failing = yard.add("obedient"), yard.add("dies_early")
            yard.add("obedient", service_id="missing", argv=("python", "absent.py"))
            parent = zygote.pid if zygote is not None else None
            first: tuple[int, int] | None = None
            gc.collect()  # What an earlier test left to the collector is none of ours.
            for cycle in range(CYCLES):
                await yard.supervisor.ensure_running(name)
                await yard.supervisor.stop(name, reason="test")
                for broken in (failing, "missing"):
                    if cycle % 10 == 0:
                        with pytest.raises(Exception, match=broken):
                            await yard.supervisor.ensure_running(broken)
                first = first or (held(os.getpid()), held(parent))

            # The patrol opens files under /proc now and then, so one look may find one of those.
            await until(lambda: first is not None and held(os.getpid()) <= first[0] and held(parent) <= first[1])
            assert isinstance(yard.supervisor.state(failing), Failed)

    asyncio.run(scenario())


def test_a_child_forked_for_nobody_is_ended(tmp_path: Path) -> None:
    """A caller that leaves between asking and answer leaves no child behind."""

    async def scenario() -> None:
        zygote = warm_parent("http.server")
        async with warm_yard(tmp_path, zygote) as yard:
            await yard.supervisor.ensure_running(yard.add("obedient"))
            assert zygote.pid is not None
            parent = psutil.Process(zygote.pid)
            starting = asyncio.create_task(yard.supervisor.ensure_running(yard.add("ignores_eof")))
            await asyncio.sleep(0)
            starting.cancel()
            await yard.supervisor.stop("ignores-eof", reason="test")
            await until(lambda: len(parent.children()) == 1)

    asyncio.run(scenario())


def test_core_itself_is_not_forked() -> None:
    """The core's own interpreter is what the warm parent is executed with."""
    zygote = warm_parent()
    try:
        assert zygote.pid is not None
        assert Path(sys.executable).resolve() == Path(psutil.Process(zygote.pid).exe())
    finally:
        zygote.close()

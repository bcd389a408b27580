"""What a child can see and touch of the rest of the house."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from core.model.errors import FolderUnusable
from core.process import ProcessLimits
from core.process.launcher import Launcher, minimal_environment
from core.process.sandbox import ABI_SCOPE, landlock_abi
from tests.process.yard import KEY, Yard

MakeYard = Callable[..., Yard]
needs_landlock = pytest.mark.skipif(landlock_abi() < ABI_SCOPE, reason="needs a kernel with Landlock ABI 6")

# Landlock has no rule for sockets with a path: whoever listens on one asks who is calling.
ALLOWED = {"connect to neighbour", "write own folder", "read own folder", "read own source", "read certificates"}


@needs_landlock
def test_two_services_cannot_read_each_other(make_yard: MakeYard) -> None:
    """INV-11: of all attempts on the neighbour, the core, Me and the owner's files none but the harmless succeeds."""

    async def scenario() -> None:
        async with make_yard() as yard:
            victim = await yard.supervisor.ensure_running(yard.add("obedient", service_id="neighbour"))
            (yard.me / "neighbour" / "secret.txt").write_text("the neighbour's secret")
            (yard.me / "key").write_text("key")
            (yard.me / "locker.json").write_text("{}")
            name = f"locker-test-{os.getpid()}"
            with socket.socket(socket.AF_UNIX) as store, socket.socket(socket.AF_UNIX) as abstract:
                store.bind(str(yard.me / "neighbour" / "store.sock"))
                store.listen()
                abstract.bind("\0" + name)
                abstract.listen()
                settings = {"neighbour": "neighbour", "neighbour_pid": victim.pid, "abstract": name}
                endpoint = await yard.supervisor.ensure_running(yard.add("reads_neighbour", settings=settings))
                succeeded = set(await yard.get_json(endpoint))

            assert ALLOWED == succeeded | {"read certificates"}
            assert "the neighbour's secret" == (yard.me / "neighbour" / "secret.txt").read_text()

    asyncio.run(scenario())


@needs_landlock
def test_the_checkout_is_closed_but_for_what_is_shared(make_yard: MakeYard, tmp_path: Path) -> None:
    """Of the checkout a child reads core/ and the SDK; not its root, its config or its tests."""
    source = tmp_path / "looks"
    source.mkdir()
    root = Path(__file__).resolve().parents[2]
    (source / "connector.py").write_text(
        _serving(
            f"root = Path({str(root)!r})\n"
            "body = {name: attempt(lambda: list((root / name).iterdir()))\n"
            "        for name in ('.', 'core', 'connectors', 'connectors/sdk', 'tests', 'config', '.git')}\n"
            "import core.model.ids\n"
            "body['imports'] = core.model.ids.is_service_id('github')\n"
        )
    )

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("looks", source=source))
            seen = await yard.get_json(endpoint)

            assert {"core", "connectors/sdk", "imports"} == {name for name, is_open in seen.items() if is_open}

    asyncio.run(scenario())


@needs_landlock
def test_folders_the_owner_allowed_are_open_for_reading(make_yard: MakeYard, tmp_path: Path) -> None:
    """A folder in `reads` can be read and not written; /proc is one like any other."""
    allowed = tmp_path / "photos"
    allowed.mkdir()
    (allowed / "one.txt").write_text("one")
    source = tmp_path / "looks"
    source.mkdir()
    (source / "connector.py").write_text(
        _serving(
            f"allowed = Path({str(allowed)!r})\n"
            "body = {'read': attempt(lambda: (allowed / 'one.txt').read_text()),\n"
            "        'write': attempt(lambda: (allowed / 'two.txt').write_text('two')),\n"
            "        'remove': attempt(lambda: (allowed / 'one.txt').unlink()),\n"
            "        'load': attempt(lambda: Path('/proc/loadavg').read_text())}\n"
        )
    )

    async def scenario() -> None:
        async with make_yard() as yard:
            yard.add("open", source=source, reads=(allowed, Path("/proc")))
            yard.add("closed", source=source)
            with_reads = await yard.get_json(await yard.supervisor.ensure_running("open"))
            without = await yard.get_json(await yard.supervisor.ensure_running("closed"))

            assert {"read": True, "write": False, "remove": False, "load": True} == with_reads
            assert {"read": False, "write": False, "remove": False, "load": False} == without

    asyncio.run(scenario())


@needs_landlock
def test_asgi_server_runs_in_the_sandbox(make_yard: MakeYard, tmp_path: Path) -> None:
    """uvicorn on uvloop with httptools, TLS and look-ups work inside the walls."""
    source = tmp_path / "asgi"
    source.mkdir()
    (source / "connector.py").write_text(
        "import asyncio, json, socket, ssl, sys, threading\n"
        "import uvicorn, uvloop, httptools\n"
        "json.loads(sys.stdin.readline())\n"
        "async def app(scope, receive, send):\n"
        "    ssl.create_default_context()\n"
        "    socket.getaddrinfo('localhost', 80)\n"
        "    body = type(asyncio.get_running_loop()).__module__.encode()\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': body})\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "server = uvicorn.Server(uvicorn.Config(app, loop='uvloop', http='httptools', lifespan='off'))\n"
        "print(json.dumps({'port': listener.getsockname()[1]}), flush=True)\n"
        "def watch():\n"
        "    sys.stdin.read()\n"
        "    server.should_exit = True\n"
        "threading.Thread(target=watch, daemon=True).start()\n"
        "server.run(sockets=[listener])\n"
    )

    async def scenario() -> None:
        async with make_yard(limits=ProcessLimits()) as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("asgi", source=source))
            body = await yard.get(endpoint)

            assert b"uvloop" == body

    asyncio.run(scenario())


def test_environment_is_minimal(make_yard: MakeYard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-08: a child gets PATH, HOME, language, zone, proxies and certificates of the core's, and no more."""
    monkeypatch.setenv("LOCKER_TOKEN", "owner-token-" + "x" * 32)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for children")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("tells_environment"))
            told = await yard.get_json(endpoint)
            environment = told["environment"]
            initial = str(psutil.Process(endpoint.pid).environ())

            allowed = {*minimal_environment(os.environ), "TMPDIR"}
            assert set() == {n for n in environment if not n.startswith("PYTHON")} - allowed - {"LC_CTYPE"}
            assert ("Europe/Berlin", "http://proxy.example:3128") == (environment["TZ"], environment["HTTPS_PROXY"])
            assert all(secret not in initial for secret in (endpoint.token, KEY, "not for children", "owner-token"))
            assert str(yard.me / "tells-environment" / "tmp") == told["temporary"]

    asyncio.run(scenario())


def test_a_child_begins_like_a_program_of_its_own(make_yard: MakeYard) -> None:
    """Its folder, arguments, session, limits and descriptors are its own, whichever way it was made."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("tells_environment", argv=("python", "connector.py", "--flag", "value"))
            endpoint = await yard.supervisor.ensure_running(name)
            told = await yard.get_json(endpoint)
            source = str(yard.specs[name].source_directory)

            assert ["connector.py", "--flag", "value"] == told["argv"]
            assert (source, source, "connector.py") == (told["cwd"], told["path"][0], told["main"])
            assert (0, ProcessLimits().open_files_max) == (told["core_bytes_max"], told["open_files_max"])
            assert [0, 1, 2] == told["descriptors"]
            assert told["session"]

    asyncio.run(scenario())


def test_nothing_private_stands_in_a_command_line(make_yard: MakeYard, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-08: what every user of the machine can read of a process holds no token, no key, no proxy's password."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:proxy-password@proxy.example:3128")

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("tells_environment"))
            told = await yard.get_json(endpoint)
            words = " ".join(psutil.Process(endpoint.pid).cmdline())

            assert "proxy-password" in told["environment"]["HTTPS_PROXY"]
            assert [] == [secret for secret in (endpoint.token, KEY, "proxy-password") if secret in words]

    asyncio.run(scenario())


def test_folders_are_the_childs_own(make_yard: MakeYard) -> None:
    """Its folder, the temporary one in it and what it writes are closed to others; the temporary one starts empty."""

    async def scenario() -> None:
        async with make_yard() as yard:
            folder, fresh = yard.me / "exits-on-eof", yard.me / "obedient"
            (folder / "tmp" / "left" / "over").mkdir(parents=True)
            (folder / "tmp" / "file").write_text("left over")
            await yard.supervisor.ensure_running(yard.add("exits_on_eof"))
            left_over = list((folder / "tmp").iterdir())
            await yard.supervisor.ensure_running(yard.add("obedient"))
            await yard.supervisor.stop("exits-on-eof", reason="test")

            assert [] == left_over
            assert [0o700, 0o700] == [place.stat().st_mode & 0o777 for place in (fresh, fresh / "tmp")]

    asyncio.run(scenario())


def test_what_a_child_writes_is_closed_to_others(make_yard: MakeYard, tmp_path: Path) -> None:
    """A file of its own is 0600 without the child's doing."""
    source = tmp_path / "writes"
    source.mkdir()
    (source / "connector.py").write_text(
        _serving(
            "own = Path(os.environ['TMPDIR']).parent / 'file.txt'\n"
            "own.write_text('x')\n"
            "body = own.stat().st_mode & 0o777\n"
        )
    )

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("writes", source=source))

            assert 0o600 == await yard.get_json(endpoint)

    asyncio.run(scenario())


def test_a_link_for_a_temporary_folder_is_refused(make_yard: MakeYard) -> None:
    """INV-11: the core makes nothing and removes nothing where such a link leads."""

    async def scenario() -> None:
        async with make_yard() as yard:
            target = yard.me / "elsewhere"
            (yard.me / "obedient").mkdir()
            target.mkdir()
            (target / "precious").write_text("kept")
            (yard.me / "obedient" / "tmp").symlink_to(target)
            with pytest.raises(FolderUnusable, match="is a link"):
                await yard.supervisor.ensure_running(yard.add("obedient"))

            assert "kept" == (target / "precious").read_text()

    asyncio.run(scenario())


def test_a_temporary_folder_that_a_child_closed_is_open_again(make_yard: MakeYard) -> None:
    """Its next start is not held up by what an earlier one did to itself."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("obedient")
            (yard.me / name / "tmp" / "left").mkdir(parents=True)
            (yard.me / name / "tmp").chmod(0)
            await yard.supervisor.ensure_running(name)

            assert 0o700 == (yard.me / name / "tmp").stat().st_mode & 0o777
            assert [] == list((yard.me / name / "tmp").iterdir())

    asyncio.run(scenario())


def test_a_system_without_landlock_is_told(tmp_path: Path) -> None:
    """A visible sentence where nothing shuts children in; none where something does."""
    bare = Launcher(zygote=None, environment={}, open_files_max=64, abi=0)
    walled = Launcher(zygote=None, environment={}, open_files_max=64, abi=7)

    assert bare.sandbox_notice is not None and "no Landlock" in bare.sandbox_notice
    assert ("none", None, "landlock 7") == (bare.sandbox, walled.sandbox_notice, walled.sandbox)


def test_an_environment_of_its_own(make_yard: MakeYard, tmp_path: Path) -> None:
    """A connector with an interpreter of its own runs in that one, sandboxed, and still finds what is shared."""
    own = tmp_path / "own"
    (own / "bin").mkdir(parents=True)
    (own / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
    (own / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    source = tmp_path / "looks"
    source.mkdir()
    (source / "connector.py").write_text(
        _serving("import core.model.ids\nbody = {'prefix': sys.prefix, 'list': attempt(lambda: os.listdir('/tmp'))}\n")
    )

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("looks", source=source, python=str(own / "bin" / "python"), forkable=False)
            told = await yard.get_json(await yard.supervisor.ensure_running(name))

            assert {"prefix": str(own), "list": not landlock_abi()} == told

    asyncio.run(scenario())


def _serving(body: str) -> str:
    """A connector that computes `body` when it starts and answers with it."""
    return (
        "import json, os, sys, threading\n"
        "from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer\n"
        "from pathlib import Path\n"
        "def attempt(deed):\n"
        "    try:\n"
        "        deed()\n"
        "    except OSError:\n"
        "        return False\n"
        "    return True\n"
        "class Handler(BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "        self.wfile.write(json.dumps(body).encode())\n"
        "    def log_message(self, *args):\n"
        "        pass\n"
        "sys.stdin.readline()\n" + body + "server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "print(json.dumps({'port': server.server_port}), flush=True)\n"
        "sys.stdin.read()\n"
    )

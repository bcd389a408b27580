"""Makes a child out of a LaunchSpec: forked from the warm parent where that is possible, spawned plainly elsewhere.

Both ways run the same `inside.begin` in the new process, so a connector cannot tell them apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from core.model.errors import FolderUnusable, RunMissing
from core.process import inside
from core.process.inside import Entry
from core.process.sandbox import Sandbox, landlock_abi, readable_folder_of
from core.process.spec import LaunchSpec
from core.process.zygote import CHECKOUT, Forked, Zygote

log = logging.getLogger(__name__)

# Of the checkout a child sees these and no more: config/ and Me/ may stand beside them.
SHARED = ("core", "connectors/sdk")
SHARED_PACKAGES = ("core", "connectors.sdk")
KEPT_VARIABLES = (
    "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ",
    "http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
    "SYSTEMROOT", "COMSPEC", "PATHEXT",
)  # fmt: skip
CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
SETTLED_VARIABLES = {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}
STATUS_WAIT_S = 1.0


def minimal_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What of the core's environment every child and the warm parent get: nothing that could be a secret of ours."""
    return {name: environment[name] for name in KEPT_VARIABLES if name in environment}


class Process(Protocol):
    """A started process, however it was made."""

    pid: int

    async def wait(self) -> int | None:
        """Its exit status once it has ended (negative for a signal), None if nobody can know it."""


@dataclass(frozen=True)
class Launched:
    """A process with the core's ends of its three pipes; whoever holds it closes them."""

    process: Process
    stdin: int
    stdout: int
    stderr: int


class ForkedProcess:
    """A child of the warm parent, watched by its pidfd so that it may outlive that parent."""

    def __init__(self, forked: Forked) -> None:
        self.pid = forked.pid
        self._status = forked.status
        self._ended = _readable(forked.pidfd)

    async def wait(self) -> int | None:
        await asyncio.shield(self._ended)
        # The parent reports what it reaped; if it died first, nobody will.
        await asyncio.wait([self._status], timeout=STATUS_WAIT_S)
        return self._status.result() if self._status.done() else None


class SpawnedProcess:
    """A child of the core's own."""

    def __init__(self, process: subprocess.Popen[bytes], *, has_pidfd: bool = hasattr(os, "pidfd_open")) -> None:
        self.pid = process.pid
        self._process = process
        self._ended = _readable(os.pidfd_open(process.pid)) if has_pidfd else _waited_for(process)

    async def wait(self) -> int | None:
        await asyncio.shield(self._ended)
        return self._process.wait()


def _readable(pidfd: int) -> asyncio.Future[None]:
    """Done when the process has ended; the pidfd is closed then."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(pidfd, end)
    return ended


def _waited_for(process: subprocess.Popen[bytes]) -> asyncio.Future[None]:
    """The same where there are no pidfds: by a thread for each child, since any number of them may run for days."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    def wait() -> None:
        process.wait()
        with contextlib.suppress(RuntimeError):  # The loop is closed, so nobody waits.
            loop.call_soon_threadsafe(end)

    threading.Thread(target=wait, name=f"child {process.pid}", daemon=True).start()
    return ended


class Launcher:
    """Starts processes; knows the checkout, the environment and how far the kernel can shut a child in."""

    def __init__(
        self,
        *,
        zygote: Zygote | None,
        environment: Mapping[str, str],
        open_files_max: int,
        checkout: Path = CHECKOUT,
        abi: int | None = None,
    ) -> None:
        self._zygote = zygote
        self._environment = minimal_environment(environment)
        self._open_files_max = open_files_max
        self._checkout = checkout
        self.abi = landlock_abi() if abi is None else abi

    @property
    def sandbox(self) -> str:
        """What shuts children in, in two words."""
        return f"landlock {self.abi}" if self.abi else "none"

    @property
    def sandbox_notice(self) -> str | None:
        """A sentence for the owner where nothing does."""
        if self.abi:
            return None
        return "This system has no Landlock: connectors are not kept from reading your other files."

    async def launch(self, spec: LaunchSpec) -> Launched:
        """A new process for `spec`; raises RunMissing, FolderUnusable."""
        entry = self._entry(spec)
        temporary = _prepare_folders(spec)
        if any(temporary.iterdir()):
            await asyncio.to_thread(_empty, temporary)
        pipes = _Pipes()
        try:
            process = await self._forked(entry, spec, pipes)
            if process is None:
                process = self._spawned(entry, spec, pipes)
        except BaseException:
            pipes.close_ours()
            raise
        finally:
            pipes.close_theirs()
        return Launched(process=process, stdin=pipes.stdin[1], stdout=pipes.stdout[0], stderr=pipes.stderr[0])

    async def _forked(self, entry: Entry, spec: LaunchSpec, pipes: _Pipes) -> Process | None:
        if self._zygote is None:
            return None
        if entry.script is not None and not spec.forkable:
            entry = _bare(entry, command=_command(entry, spec.python))
        try:
            return ForkedProcess(await self._zygote.fork(entry, pipes.theirs))
        except ConnectionError as err:
            log.info("spawning plainly id=%s because=%s", spec.service_id, err)
            return None

    def _spawned(self, entry: Entry, spec: LaunchSpec, pipes: _Pipes) -> Process:
        is_direct = sys.platform == "win32" and entry.script is None
        command = entry.argv if is_direct else _command(entry, spec.python if entry.script else sys.executable)
        try:
            process = subprocess.Popen(
                command,
                stdin=pipes.theirs[0],
                stdout=pipes.theirs[1],
                stderr=pipes.theirs[2],
                cwd=spec.source_directory,
                env=entry.environment,
                start_new_session=True,
            )
        except OSError as err:
            raise RunMissing(f"{spec.service_id}: {command[0]} cannot be started: {err.strerror}") from err
        return SpawnedProcess(process)

    def _entry(self, spec: LaunchSpec) -> Entry:
        script = _script_of(spec)
        environment = {
            **self._environment,
            **SETTLED_VARIABLES,
            "TMPDIR": str(spec.working_directory / "tmp"),
        }
        argv = spec.argv[1:] if script else (_resolved(spec, environment), *spec.argv[1:])
        return Entry(
            name=spec.service_id,
            argv=argv,
            script=script,
            source=str(spec.source_directory),
            path=(str(Path(script or spec.source_directory / argv[0]).parent), str(self._checkout)),
            packages=SHARED_PACKAGES,
            environment=environment,
            open_files_max=self._open_files_max,
            abi=self.abi,
            walls=self._walls(spec, command=None if script else argv[0]).as_document() if self.abi else None,
        )

    def _walls(self, spec: LaunchSpec, *, command: str | None) -> Sandbox:
        certificates = [self._environment[name] for name in CA_VARIABLES if name in self._environment]
        programs = _interpreter_folders(spec.python) if command is None else readable_folder_of(command)
        return Sandbox(
            own=(str(spec.working_directory),),
            runs=(sys.prefix, sys.base_prefix, str(spec.source_directory), *programs),
            reads=(*(str(self._checkout / place) for place in SHARED), *certificates, *(str(p) for p in spec.reads)),
        )


def _script_of(spec: LaunchSpec) -> str | None:
    """The script's path where `run` is `python <script>.py …`; raises RunMissing when there is no such file."""
    argv = spec.argv
    if len(argv) < 2 or argv[0] not in ("python", "python3") or not argv[1].endswith(".py"):
        return None
    script = spec.source_directory / argv[1]
    if not script.is_file():
        raise RunMissing(f"{spec.service_id}: there is no {argv[1]} in {spec.source_directory}")
    if shutil.which(spec.python) is None:
        raise RunMissing(f"{spec.service_id}: there is no interpreter {spec.python}")
    return str(script)


def _resolved(spec: LaunchSpec, environment: Mapping[str, str]) -> str:
    command = spec.python if spec.argv[0] in ("python", "python3") else spec.argv[0]
    if os.sep in command:
        command = str(spec.source_directory / command)
    found = shutil.which(command, path=environment.get("PATH"))
    if found is None:
        raise RunMissing(f"{spec.service_id}: there is no command {spec.argv[0]!r}")
    return found


def _interpreter_folders(python: str) -> tuple[str, ...]:
    """The environment an interpreter belongs to, and the installation that environment was made from."""
    folder = Path(python).absolute().parent.parent
    if not (folder / "pyvenv.cfg").is_file():
        return readable_folder_of(python)
    return (str(folder), *readable_folder_of(python))


def _command(entry: Entry, python: str) -> tuple[str, ...]:
    """What a fresh interpreter is executed with to become what `entry` says."""
    return (python, inside.__file__, replace(entry, environment=None).to_json())


def _bare(entry: Entry, *, command: tuple[str, ...]) -> Entry:
    """The entry of a process that only executes `command`, which then does what `entry` says."""
    return replace(entry, argv=(shutil.which(command[0]) or command[0], *command[1:]), script=None, abi=0, walls=None)


def _prepare_folders(spec: LaunchSpec) -> Path:
    """The service's temporary folder, made if need be, as is the folder around it."""
    temporary = spec.working_directory / "tmp"
    try:
        for folder in (spec.working_directory, temporary):
            folder.mkdir(mode=0o700, exist_ok=True)
        if temporary.is_symlink():
            raise FolderUnusable(f"{temporary} is a link; the service's temporary folder must be a folder of its own")
        temporary.chmod(0o700)  # A child may have shut itself out.
    except OSError as err:
        raise FolderUnusable(f"{err.filename} cannot be used: {err.strerror}") from err
    return temporary


def _empty(folder: Path) -> None:
    """Remove what the last child left there; what cannot be removed stays."""
    for place in folder.iterdir():
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                place.unlink()


class _Pipes:
    """Three pipes, none of which leaks into another process."""

    def __init__(self) -> None:
        self.stdin, self.stdout, self.stderr = os.pipe(), os.pipe(), os.pipe()
        self.theirs = (self.stdin[0], self.stdout[1], self.stderr[1])

    def close_theirs(self) -> None:
        _close(*self.theirs)

    def close_ours(self) -> None:
        _close(self.stdin[1], self.stdout[0], self.stderr[0])


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)

"""What a new process does before the connector's own first line: leave the core's world, shut the door, begin.

Run in two ways with the same result: called by the warm parent after a fork, or as a script in a fresh interpreter
(`python core/process/inside.py <entry as JSON>`), which may be one that has none of our packages: only the standard
library is used. The entry holds paths and limits, never a secret; those arrive on stdin.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import sys
import types
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

if __name__ == "__main__":
    # The room's contents page would load the whole supervisor: a stand-in that only knows the folder is enough.
    HERE = Path(__file__).resolve().parent
    sys.path[0] = str(HERE.parent.parent)
    _room = types.ModuleType("core.process")
    _room.__path__ = [str(HERE)]
    sys.modules["core.process"] = _room

from core.process import sandbox

if sys.platform != "win32":
    import resource

PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 15, 36
EXIT_NOT_FOUND, EXIT_NOT_RUNNABLE, EXIT_NO_SANDBOX = 127, 126, 125
NAME_BYTES_MAX = 15


@dataclass(frozen=True)
class Entry:
    """How a process becomes a service's child.

    `script` is run by this interpreter as `__main__`; without one, `argv` is executed. `packages` are looked up before
    the sandbox closes the folders they are found in: Python remembers what it saw there. `abi` 0 puts up no sandbox.
    Without an `environment` the process keeps its own: an entry that stands in a command line is read by anyone.
    """

    name: str
    argv: tuple[str, ...]
    script: str | None
    source: str
    path: tuple[str, ...]
    packages: tuple[str, ...]
    environment: dict[str, str] | None
    open_files_max: int
    abi: int
    walls: dict[str, list[str]] | None

    def to_json(self) -> str:
        """The entry as it travels to the process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Entry:
        """The entry that `to_json` wrote."""
        document: dict[str, Any] = json.loads(text)
        for name in ("argv", "path", "packages"):
            document[name] = tuple(document[name])
        return cls(**document)


def begin(entry: Entry) -> None:
    """Become the child: returns when its script has ended, never when a command was executed."""
    if entry.script is not None:
        _prepare_python(entry)
    _confine(entry)
    if entry.script is None:
        _execute(entry)
    else:
        _run_script(entry.script)


def _prepare_python(entry: Entry) -> None:
    if entry.environment is not None:
        os.environ.clear()
        os.environ.update(entry.environment)
    sys.dont_write_bytecode = True
    known = [*entry.path, ""]
    sys.path[:] = [*entry.path, *(p for p in sys.path if p not in known)]
    for package in entry.packages:
        try:
            importlib.util.find_spec(package)
        except ImportError:
            continue  # The script says so itself if it needs it.
    sys.argv[:] = entry.argv
    _line_by_line()


def _confine(entry: Entry) -> None:
    os.chdir(entry.source)
    os.umask(0o077)
    if sys.platform != "win32":
        _bound(resource.RLIMIT_CORE, 0)
        _bound(resource.RLIMIT_NOFILE, entry.open_files_max)
    if not sys.platform.startswith("linux"):
        return
    sandbox.set_process_option(PR_SET_NAME, entry.name.encode()[:NAME_BYTES_MAX])
    # What the child starts and abandons stays among its descendants, where the supervisor finds it.
    sandbox.set_process_option(PR_SET_CHILD_SUBREAPER, 1)
    if entry.walls is not None and entry.abi:
        try:
            sandbox.restrict(sandbox.Sandbox.from_document(entry.walls), abi=entry.abi)
        except OSError as err:
            os.write(2, f"the sandbox could not be put up: {err}\n".encode())
            os._exit(EXIT_NO_SANDBOX)


def _bound(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (bound, bound))


def _line_by_line() -> None:
    """Fresh text streams over 0, 1 and 2 that pass each line on at once, so that an announcement is never held back."""
    sys.stdin = _text(os.fdopen(0, "rb", closefd=False))
    sys.stdout = _text(os.fdopen(1, "wb", closefd=False))
    sys.stderr = _text(os.fdopen(2, "wb", closefd=False))


def _text(raw: BinaryIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _run_script(script: str) -> None:
    main = types.ModuleType("__main__")
    main.__file__ = script
    sys.modules["__main__"] = main
    with io.open_code(script) as file:
        code = compile(file.read(), script, "exec")
    exec(code, main.__dict__)  # noqa: S102  (a connector's script is what this process is for)


def _execute(entry: Entry) -> None:
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    environment = os.environ if entry.environment is None else entry.environment
    try:
        os.execve(entry.argv[0], entry.argv, environment)  # noqa: S606  (no shell is what we want)
    except FileNotFoundError as err:
        _refuse(EXIT_NOT_FOUND, entry.argv[0], err)
    except OSError as err:
        _refuse(EXIT_NOT_RUNNABLE, entry.argv[0], err)


def _refuse(status: int, command: str, err: OSError) -> None:
    os.write(2, f"{command}: {err.strerror}\n".encode())
    os._exit(status)


if __name__ == "__main__":
    begin(Entry.from_json(sys.argv[1]))

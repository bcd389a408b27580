"""Runs pip in an environment that has none: the pinned wheel of this checkout, or what Python brings along."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import TextIO

from core.environment.progress import Progress
from core.model.errors import Broken, LockerError, NotFound, Offline, StorageFull, UserActionNeeded

WHEEL = Path(__file__).resolve().parents[2] / "config" / "bootstrap" / "pip-26.3-py3-none-any.whl"
WHEEL_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
LEASH = Path(__file__).with_name("leash.py")
FREE_BYTES_MIN = 32 * 1024 * 1024
LINE_CHARS_MAX = 4096
TAIL_LINES_MAX = 200
# Isolated, so that nobody's PYTHONPATH or user packages take part; unbuffered, so that progress is seen.
PYTHON_FLAGS = ("-I", "-u", "-X", "utf8")
# Where pip looks and whom it trusts is the owner's to say; where the packages go and which they are is not.
OVERRULED = (
    "PIP_CONSTRAINT", "PIP_DRY_RUN", "PIP_NO_DEPS", "PIP_NO_BINARY", "PIP_PREFIX", "PIP_PYTHON", "PIP_QUIET",
    "PIP_REQUIREMENT", "PIP_ROOT", "PIP_TARGET", "PIP_USER", "PIP_VERBOSE",
)  # fmt: skip
# Pins with digests name everything there is to install; what else a package asks for is then a fault of the pins.
HASHED = ("--require-hashes", "--no-deps")
# A pinned package comes ready-made: building one would run code that no digest covers.
OPTIONS = (
    "--only-binary", ":all:", "--no-user", "--no-input", "--progress-bar", "off", "--disable-pip-version-check",
    "--no-warn-script-location",
)  # fmt: skip

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", flags=re.M)
_BEGINS = re.compile(
    r"(?:Collecting|Processing) (?:\S*/)?([A-Za-z0-9._]+?(?:-[A-Za-z0-9._]+?)*?)(?:\[\S*\])?(?:==|-)(\d[\w.+!]*)"
)
_IGNORED = re.compile(r"Ignoring \S+ markers ")
_UNPACKING = "Installing collected packages:"
_WRONG_DIGEST = "DO NOT MATCH THE HASHES"
_CUT_OFF = "after connection broken by"
_NOTHING_FOUND = "(from versions: none)"
# A source that does not have a package answers 404.
_REFUSED = re.compile(r"Could not fetch URL \S+: (?!404 Client Error)")
_UNMATCHED = re.compile(r"ERROR: No matching distribution found for ([^\s=]+)(?:==(\S+))?", flags=re.M)


class Installer:
    """pip for one environment's Python, which ends when we do; `locked_fd` stays open in it until it has."""

    def __init__(self, python: Path, progress: Progress, *, log: Path, locked_fd: int | None = None) -> None:
        self._python = python
        self._progress = progress
        self._log = log
        self._kept_fds = () if locked_fd is None or os.name == "nt" else (locked_fd,)
        self._tail: deque[str] = deque(maxlen=TAIL_LINES_MAX)
        self._begun = 0

    def install(self, requirements: Path, *, hashed: bool) -> int:
        """How many packages a requirements file brought: its pins and, where they carry no digests, what those need.

        Raises StorageFull, Offline, UserActionNeeded, NotFound where pins without digests name what there is not,
        or Broken for whatever else pip met.
        """
        total = len(_PIN.findall(requirements.read_text(encoding="utf-8")))
        command = [*self._pip(), "install", *OPTIONS, *(HASHED if hashed else ())]
        status = self._run([*command, "--requirement", str(requirements)], total)
        if status != 0:
            room = min(shutil.disk_usage(place).free for place in (self._python.parent, tempfile.gettempdir()))
            fault = fault_of(list(self._tail), status, begun=self._begun, free_bytes=room, log=self._log, hashed=hashed)
            if isinstance(fault, NotFound) and self._is_refused([*command, "--requirement", str(requirements)]):
                raise _unreached()
            raise fault
        return self._begun

    def _is_refused(self, command: list[str]) -> bool:
        """Whether a source of packages failed to answer: pip says so only when it is asked to say more."""
        self._tail.clear()
        self._run([*command, "--dry-run", "-vv"], 0)
        return any(_REFUSED.search(line) for line in self._tail)

    def _pip(self) -> list[str]:
        python = [str(self._python), *PYTHON_FLAGS, str(LEASH)]
        doubt = doubt_about(WHEEL)
        if doubt is None:
            return [*python, str(WHEEL / "pip")]
        self._progress.say(f"{doubt} Trying the pip that comes with Python.")
        if importlib.util.find_spec("ensurepip") is None:
            raise UserActionNeeded("This Python has no pip to install packages with.", remedy=install_pip_remedy())
        if self._run([*python, "-m", "ensurepip"], 0) != 0:
            raise UserActionNeeded("Python's own pip could not be set up.", remedy=install_pip_remedy())
        return [*python, "-m", "pip"]

    def _run(self, command: list[str], total: int) -> int:
        environment = {name: value for name, value in os.environ.items() if name not in OVERRULED}
        with (
            self._log.open("a", encoding="utf-8") as log,
            subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                encoding="utf-8", errors="replace", pass_fds=self._kept_fds,
            ) as process,
        ):  # fmt: skip
            try:
                self._follow(process, total, log)
            finally:
                # Reached by Ctrl-C too: whatever stops us stops pip.
                process.kill()
        return process.returncode

    def _follow(self, process: subprocess.Popen[str], total: int, log: TextIO) -> None:
        assert process.stdout is not None
        while line := process.stdout.readline(LINE_CHARS_MAX):
            log.write(line)
            self._tail.append(line.rstrip())
            if _IGNORED.match(line):
                total -= 1
            elif match := _BEGINS.match(line):
                self._begun += 1
                self._progress.step(self._begun, max(total, self._begun), f"{match[1]} {match[2]}")
            elif line.startswith(_UNPACKING):
                self._progress.step(self._begun, max(total, self._begun), "unpacking")
        process.wait()


def doubt_about(wheel: Path) -> str | None:
    """Why the pinned pip may not be run, as a sentence; None if it may."""
    try:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    except OSError:
        return f"{wheel} is missing."
    return None if digest == WHEEL_SHA256 else f"{wheel} is not the file that was pinned, so it is not run."


def install_pip_remedy() -> str:
    """The exact line that gives this Python a pip, where the system is one we know."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if shutil.which("apt"):
        return f"Install it with: sudo apt install {name}-venv"
    return f"Install the pip and venv of {name} with your system's package manager, or restore config/bootstrap/."


def fault_of(output: list[str], status: int, *, begun: int, free_bytes: int, log: Path, hashed: bool) -> LockerError:
    """What kept pip from installing, from its exit, its words and the room on the disk.

    pip tells these apart in words only. They are those of the version pinned here; whatever they do not name is
    shown as pip said it. Pins with digests were there when they were pinned, so a source that has none of them is
    not the one that was meant; others a person wrote, who may err.
    """
    text = "\n".join(output)
    if free_bytes < FREE_BYTES_MIN:
        return StorageFull("The disk is full, so the packages could not be installed.", remedy="Free some space.")
    if _WRONG_DIGEST in text:
        return Broken(
            "A package is not the file that was pinned: its SHA-256 differs. Nothing was installed.",
            remedy=f"Try again, perhaps from another network; {log} names the package.",
        )
    unmatched = _UNMATCHED.search(text)
    if unmatched and not hashed and _CUT_OFF not in text:
        return NotFound(
            f"{' '.join(filter(None, unmatched.groups()))} does not exist where pip looks, or not ready-made for "
            f"Python {sys.version_info.major}.{sys.version_info.minor} on this system.",
            remedy=f"Correct its name or version; all that pip said is in {log}.",
        )
    if _CUT_OFF in text or (_NOTHING_FOUND in text and begun == 0):
        return _unreached()
    last = next((line for line in reversed(output) if line.startswith("ERROR:")), f"it ended with {status}")
    return Broken(f"pip could not install the packages: {last}", remedy=f"All that pip said is in {log}.")


def _unreached() -> Offline:
    return Offline(
        "The packages could not be fetched: their source cannot be reached.",
        remedy="Check the network, a proxy, and pip's own configuration (index, certificates); then start again.",
    )

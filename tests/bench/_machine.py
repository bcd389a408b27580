"""Where a figure was made: machine, load, versions, commit. A figure without them means nothing."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
CPU_FILE = Path("/proc/cpuinfo")


def described() -> str:
    """The machine in one line."""
    memory_gb = psutil.virtual_memory().total / 1e9
    return (
        f"{_processor()}, {psutil.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def load() -> float:
    """How many processes wanted to run in the last minute, on average; the cores' number and more is a busy machine."""
    return os.getloadavg()[0]


def circumstances() -> str:
    """What was not as an owner's machine is: other programs kept from disturbing, or Python from keeping bytecode."""
    found = []
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) in (os.SCHED_RR, os.SCHED_FIFO):
        found.append("at real-time priority")
    if sys.dont_write_bytecode:
        found.append("with no bytecode kept")
    return "".join(f", {each}" for each in found)


def commit() -> str:
    """The commit of the checkout, with a plus when files differ from it."""
    name = _git("rev-parse", "--short", "HEAD")
    return f"{name}+" if _git("status", "--porcelain", "--untracked-files=no") else name


def today() -> str:
    """The day, in UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def version_of(package: str) -> str:
    """The installed version of a package."""
    return importlib.metadata.version(package)


def _processor() -> str:
    if CPU_FILE.is_file():
        for line in CPU_FILE.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

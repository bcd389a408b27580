"""A checkout that installs in a second: the real locker.py over a command line that only tells where it is."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60
# What `core.cli` does in the small checkout: say which Python runs it, and what it was given.
COMMAND_LINE = """
import json, os, sys

def main(arguments):
    token_fd = os.environ.pop("LOCKER_TOKEN_FD", None)
    told = {"prefix": sys.prefix, "arguments": list(arguments), "python": os.path.realpath(sys.executable)}
    told["token"] = os.read(int(token_fd), 8192).decode() if token_fd else None
    told["environ"] = dict(os.environ)
    told["first_environ"] = open("/proc/self/environ").read() if os.path.exists("/proc/self/environ") else ""
    try:
        import greeting
        told["greeting"] = greeting.WORDS
    except ImportError:
        told["greeting"] = None
    print(json.dumps(told))
    return 7 if "fail" in arguments else 0
"""


def make_wheel(
    folder: Path, name: str, version: str, files: dict[str, str], *, scripts: str = "", requires: str = ""
) -> Path:
    """A wheel as an index would serve it; the same content gives the same bytes."""
    info = f"{name}-{version}.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if scripts:
        content[f"{info}/entry_points.txt"] = f"[console_scripts]\n{scripts}\n"
    rows = []
    for path, text in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text.encode())}")
    content[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in content.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return wheel


def pin(*wheels: Path) -> str:
    """Lines of a requirements file that pin these wheels by digest."""
    lines = []
    for wheel in wheels:
        name, version, *_ = wheel.name.split("-")
        lines.append(f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    return "".join(lines)


class Checkout:
    """A copy of what the first start needs, and a folder of wheels that stands for the package index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder.parent / "wheels"
        self.home = folder.parent / "home"
        self.home.mkdir(parents=True)
        for name in ("core/__init__.py", "core/model/__init__.py", "core/model/errors.py"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        shutil.copy(ROOT / "locker.py", folder)
        shutil.copytree(ROOT / "core/environment", folder / "core/environment")
        shutil.copytree(ROOT / "config/bootstrap", folder / "config/bootstrap", copy_function=os.link)
        (folder / "core/cli").mkdir()
        (folder / "core/cli/__init__.py").write_text(COMMAND_LINE)
        (folder / "tests").mkdir()
        self.offer("1.0", "hello")

    @property
    def environment(self) -> Path:
        """Where its packages go."""
        return self.folder / ".venv"

    def offer(self, version: str, words: str) -> None:
        """Put a package into the index, and its pin into the requirements."""
        wheel = make_wheel(
            self.wheels, "greeting", version, {"greeting.py": f"WORDS = {words!r}\n\ndef main():\n    print(WORDS)\n"},
            scripts="greet = greeting:main",
        )  # fmt: skip
        (self.folder / "requirements.txt").write_text(pin(wheel))

    def variables(self, **changed: str | None) -> dict[str, str]:
        """The environment of a start: nobody's pip configuration, an empty home, no index but the folder."""
        variables: dict[str, str | None] = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": self.wheels.as_uri(),
            **changed,
        }
        return {name: value for name, value in variables.items() if value is not None}

    def command(self, *arguments: str, python: str = "") -> list[str]:
        """The command line of a start."""
        return [python or base_python(), str(self.folder / "locker.py"), *arguments]

    def start(self, *arguments: str, python: str = "", **changed: str | None) -> subprocess.CompletedProcess[str]:
        """Run locker.py to its end."""
        return subprocess.run(
            self.command(*arguments, python=python), env=self.variables(**changed), cwd="/", text=True,
            capture_output=True, timeout=START_TIMEOUT_S, check=False,
        )  # fmt: skip

    def told(self, *arguments: str, **changed: str | None) -> dict[str, Any]:
        """Run locker.py, which must succeed; what its command line tells."""
        done = self.start(*arguments, **changed)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def offline(self) -> dict[str, str | None]:
        """Variables under which nothing can be fetched: an index on a port that nobody listens on."""
        return {
            "PIP_NO_INDEX": None,
            "PIP_FIND_LINKS": None,
            "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
            "PIP_RETRIES": "0",
        }


def base_python() -> str:
    """The interpreter that the tests' own environment was made with: what an owner would have."""
    return os.path.realpath(str(getattr(sys, "_base_executable", sys.executable)))

"""Environments for connectors that need packages of their own: whole or not at all, with progress."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.model.errors import FolderUnusable, LockerError, ManifestInvalid, Offline, RunMissing
from core.model.manifest import Manifest
from core.registry import Environments
from core.registry.environments import REQUIRES_MAX, requires_faults


def manifest(*requires: str) -> Manifest:
    return Manifest(name="needy", title="Needy", folder="/needy", requires=requires)


def write_wheel(folder: Path, name: str, version: str, code: str) -> None:
    """A wheel with one module, as an index would hand it out."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}"
        for path, text in files.items()
    ]
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]) + "\n")


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environments:
    """Environments that can install from a folder of wheels, and from nowhere else."""
    write_wheel(tmp_path / "wheels", "tinypack", "1.0", "VALUE = 'its own'\n")
    write_wheel(tmp_path / "wheels", "msgspec", "0.0.1", "VALUE = 'shadows the core'\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return Environments(tmp_path / ".venv.connectors", python=Path(sys.executable))


def run(python: Path, code: str) -> str:
    done = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_without_requirements_the_core_will_do(environments: Environments, tmp_path: Path) -> None:
    """A connector that needs nothing shares the core's interpreter, and nothing is made."""
    environments.prepare(manifest(), print)

    assert environments.python_for(manifest()) == Path(sys.executable)
    assert environments.folder_for(manifest()) is None
    assert not (tmp_path / ".venv.connectors").exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """As something the owner can act on, before anything is fetched."""
    (tmp_path / "checkout").write_text("no folder")
    environments = Environments(tmp_path / "checkout" / ".venv.connectors", python=Path(sys.executable))

    with pytest.raises(FolderUnusable, match="could not be made"):
        environments.prepare(manifest("tinypack==1.0"), print)


def test_packages_are_installed_with_progress(environments: Environments, tmp_path: Path) -> None:
    """The connector's interpreter finds its own package and the core's, its own first."""
    needy = manifest("tinypack==1.0", "msgspec==0.0.1")
    with pytest.raises(RunMissing, match="are not installed"):
        environments.python_for(needy)

    lines: list[str] = []
    environments.prepare(needy, lines.append)

    python = environments.python_for(needy)
    assert run(python, "import tinypack; print(tinypack.VALUE)") == "its own"
    assert run(python, "import msgspec; print(msgspec.VALUE)") == "shadows the core"
    assert run(python, "import flask; print(flask.__name__)") == "flask"
    assert any("tinypack 1.0" in line for line in lines)
    assert python.is_relative_to(environments.folder_for(needy) or "")

    again: list[str] = []
    environments.prepare(manifest("msgspec==0.0.1", "tinypack==1.0"), again.append)
    assert again == []


@pytest.mark.parametrize("others", [(), ("tinypack==1.0",)])
def test_failure_leaves_nothing_half_made(
    environments: Environments, tmp_path: Path, others: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """A package that does not exist is named, with the file to correct, and the interpreter is not there."""
    needy = manifest(*others, "nowhere==9.9")

    with pytest.raises(ManifestInvalid, match=r"nowhere 9\.9 does not exist") as caught:
        environments.prepare(needy, lambda _line: None)

    assert str(Path("/needy/connector.toml")) in caught.value.remedy
    assert "nowhere 9.9 does not exist" in caplog.text
    assert [path for path in (tmp_path / ".venv.connectors").iterdir() if path.is_dir()] == []
    with pytest.raises(RunMissing):
        environments.python_for(needy)

    write_wheel(tmp_path / "wheels", "nowhere", "9.9", "")
    environments.prepare(needy, lambda _line: None)
    assert run(environments.python_for(needy), "import nowhere; print('there')") == "there"


@pytest.mark.parametrize(("status", "error"), [(200, ManifestInvalid), (404, ManifestInvalid), (503, Offline)])
def test_a_source_that_fails_is_not_taken_for_one_without_the_package(
    environments: Environments, monkeypatch: pytest.MonkeyPatch, status: int, error: type[LockerError]
) -> None:
    """An index that is out of order says nothing of the manifest, which is then not blamed."""

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as index:
        threading.Thread(target=index.serve_forever, daemon=True).start()
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{index.server_port}/simple")
        with pytest.raises(error, match="nowhere"):
            environments.prepare(manifest("nowhere==9.9"), lambda _line: None)
        index.shutdown()


def test_a_damaged_environment_is_made_again(environments: Environments) -> None:
    """What somebody deleted is noticed before the launch, and mended by the next preparation."""
    needy = manifest("tinypack==1.0")
    environments.prepare(needy, lambda _line: None)
    folder = environments.folder_for(needy)
    assert folder is not None
    shutil.rmtree(folder)

    with pytest.raises(RunMissing) as caught:
        environments.python_for(needy)
    environments.prepare(needy, lambda _line: None)

    assert "enable" in caught.value.remedy
    assert run(environments.python_for(needy), "import tinypack; print(1)") == "1"


def test_other_pins_are_another_environment(environments: Environments) -> None:
    """A connector with another version does not disturb the first; the order of the pins says nothing."""
    folders = {
        environments.folder_for(manifest("a==1", "b==2")),
        environments.folder_for(manifest("b==2", "a==1", "a==1")),
        environments.folder_for(manifest("a==1", "b==3")),
    }

    assert len(folders) == 2


NO_PINS = [
    "a", "a>=1", "a==1; python_version>'3'", "-r x", "--index-url=http://x", "a==1 --hash=x", "a @ http://x", "a==",
    "./a", "a==1\n-r x", "a[x==1",
]  # fmt: skip


@pytest.mark.parametrize("text", NO_PINS)
def test_only_pins_are_taken(text: str) -> None:
    """What is not exactly a pinned package could be an option of the installer."""
    assert requires_faults((text,)) != []


def test_pins_and_their_number() -> None:
    """Pins with extras and odd versions are fine, up to the bound."""
    assert requires_faults(("a==1", "Foo.bar_baz[x,y]==1.0.post1+local", "b==2!1.0rc1")) == []
    assert requires_faults(("a==1",) * REQUIRES_MAX) == []
    assert requires_faults(("a==1",) * (REQUIRES_MAX + 1)) != []

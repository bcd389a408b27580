"""The packages that a connector needs and the core lacks, in an environment laid over the core's own.

One is kept per set of pins and Python, so connectors that need the same share it. It stands in the
checkout, not in `Me`: it is nobody's data, and can be made again.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path

from core.environment import Blueprint, Progress, make_environment, python_of, told_as_faults
from core.model.errors import Broken, LockerError, ManifestInvalid, NotFound, Offline, RunMissing
from core.model.manifest import Manifest

FOLDER = ".venv.connectors"
REQUIRES_MAX = 200
LINE_CHARS_MAX = 500

_PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(\[[A-Za-z0-9._,-]{1,99}\])?==[A-Za-z0-9][A-Za-z0-9.!+_-]{0,99}")
_STAMP = "connector.stamp"
_BENEATH = "beneath.pth"
_MEND = "Switch the service on again, on its page or by the command enable: that installs them."

REQUIREMENTS_FILE = "requirements.txt"
REQUIREMENTS_IGNORED = (
    f"its folder has a {REQUIREMENTS_FILE}, which nobody reads",
    'Name the packages that Locker lacks in connector.toml, pinned, as in: requires = ["name==1.0"]',
)

OnLine = Callable[[str], None]

log = logging.getLogger(__name__)


def requires_faults(requires: tuple[str, ...]) -> list[str]:
    """What is wrong with a manifest's `requires`: each package must be pinned, and nothing may be an option of pip."""
    faults = [
        f"requires: {text[:80]!r} is not pinned as name==version" for text in requires if not _PIN.fullmatch(text)
    ]
    if len(requires) > REQUIRES_MAX:
        faults.append(f"requires: names more than {REQUIRES_MAX} packages")
    return faults


def ignores_requirements(manifest: Manifest) -> bool:
    """Whether the connector, a script in Python, has a requirements.txt and no `requires`: nobody reads that file."""
    return manifest.is_python and not manifest.requires and Path(manifest.folder, REQUIREMENTS_FILE).is_file()


class Environments:
    """The environments under `folder`; `python` is the core's own interpreter, which most connectors share."""

    def __init__(self, folder: Path, *, python: Path) -> None:
        self._folder = folder
        self._python = python
        self._beneath = sysconfig.get_path("purelib")
        self._writing = threading.Lock()

    def folder_for(self, manifest: Manifest) -> Path | None:
        """The environment that a child of `manifest` must be able to read; None when the core's own will do."""
        if not manifest.requires:
            return None
        about = "\n".join([sys.implementation.cache_tag or "", sysconfig.get_platform(), *_pins(manifest)])
        return self._folder / hashlib.sha256(about.encode()).hexdigest()[:20]

    def python_for(self, manifest: Manifest) -> Path:
        """The interpreter for a child of `manifest`; raises RunMissing when its packages are not installed."""
        self.check(manifest)
        folder = self.folder_for(manifest)
        if folder is None:
            return self._python
        self._lay_beneath(folder)
        return python_of(folder)

    def check(self, manifest: Manifest) -> None:
        """Return if the packages of `manifest` are installed, or it needs none; raises RunMissing."""
        folder = self.folder_for(manifest)
        if folder is not None and not self._is_ready(str(folder), str(_requirements(folder))):
            raise RunMissing(
                f"the packages that {manifest.name} requires ({', '.join(_pins(manifest))}) are not installed",
                remedy=_MEND,
            )

    def prepare(self, manifest: Manifest, on_line: OnLine) -> None:
        """Install what `manifest` needs, unless it is there; `on_line` hears each line of progress.

        Takes as long as it takes: not for the event loop. Raises ManifestInvalid where it needs what does not
        exist, RunMissing, Offline, StorageFull or FolderUnusable; then nothing half-made is left.
        """
        folder = self.folder_for(manifest)
        if folder is None:
            return
        requirements = _requirements(folder)
        with told_as_faults(folder), self._writing:
            self._folder.mkdir(exist_ok=True)
            _write("".join(f"{pin}\n" for pin in _pins(manifest)), requirements)
        blueprint = Blueprint(
            folder=str(folder),
            requirements=str(requirements),
            stamp_name=_STAMP,
            stamp_of=_stamp_of,
            is_ready=self._is_ready,
            hashed=False,
        )
        try:
            make_environment(blueprint, Progress(_Lines(on_line)))
        except LockerError as err:
            log.warning("packages cannot be installed connector=%s reason=%s", manifest.name, err)
            raise _told_of(manifest, err) from err
        self._lay_beneath(folder)

    def _is_ready(self, folder: str, requirements: str) -> bool:
        try:
            stamp = (Path(folder) / _STAMP).read_bytes()
            return stamp == _stamp_of(folder, requirements, None) and python_of(Path(folder)).exists()
        except OSError:
            return False

    def _lay_beneath(self, folder: Path) -> None:
        """Let the core's packages be found after the environment's own, wherever the checkout stands today."""
        scheme = sysconfig.get_path("purelib", "venv", vars={"base": str(folder), "platbase": str(folder)})
        _write(f"{self._beneath}\n", Path(scheme) / _BENEATH)


def _told_of(manifest: Manifest, err: LockerError) -> LockerError:
    """Why the packages of this connector could not be installed, with what helps there."""
    if isinstance(err, NotFound):
        return ManifestInvalid(
            f"{manifest.name} requires a package that cannot be had: {err}",
            faults=(f"requires: {err}",),
            remedy=f"Correct requires in {manifest.path}; then install it again, or switch its service on again.",
        )
    if isinstance(err, Offline):
        return Offline(
            f"The packages that {manifest.name} requires ({', '.join(_pins(manifest))}) could not be fetched: "
            "their source cannot be reached.",
            remedy="Check the network, a proxy, and pip's own configuration (index, certificates); then try again.",
        )
    if isinstance(err, Broken):
        return RunMissing(f"the packages that {manifest.name} needs cannot be installed: {err}", remedy=err.remedy)
    return err


class _Lines(io.StringIO):
    """A stream that hands on whole lines."""

    def __init__(self, on_line: OnLine) -> None:
        super().__init__()
        self._on_line = on_line
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._on_line(line[:LINE_CHARS_MAX])
        self._begun = self._begun[:LINE_CHARS_MAX]
        return len(text)


def _pins(manifest: Manifest) -> list[str]:
    return sorted(set(manifest.requires))


def _requirements(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.txt")


def _write(text: str, path: Path) -> None:
    """Leave a file alone that says this already: another install may be reading it."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _stamp_of(folder: str, requirements: str, place: str | None) -> bytes:
    """Where it stands, whose Python it uses, and what was installed."""
    python = python_of(Path(folder)).resolve()
    return f"{place or folder}\n{python}\n".encode() + Path(requirements).read_bytes()

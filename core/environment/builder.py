"""Makes an environment beside the one in use and switches by rename, so that no start ever finds half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.environment.installer import Installer, install_pip_remedy
from core.environment.progress import Progress
from core.model.errors import FolderUnusable, LockerError, StorageFull, TooBusy, UserActionNeeded

if sys.platform != "win32":
    import fcntl

LOCK_WAIT_S_MAX = 1800.0
LOCK_POLL_S = 0.1
SCRIPT_BYTES_MAX = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Blueprint:
    """An environment to be: its folder, its pins, and the stamp that only a finished one carries.

    `stamp_of(folder, requirements, place)` is what the stamp must say of the environment in `folder` once it stands
    in `place`; its first line is the place. `is_ready(folder, requirements)` is whether the stamp there says that.
    `hashed` says that the pins are complete and carry digests.
    """

    folder: str
    requirements: str
    stamp_name: str
    stamp_of: Callable[[str, str, str | None], bytes]
    is_ready: Callable[[str, str], bool]
    hashed: bool = True


def make_environment(blueprint: Blueprint, progress: Progress | None = None) -> None:
    """Return when the environment is ready: made, mended or, after waiting, found made by another start.

    Raises FolderUnusable, StorageFull, Offline, Broken or UserActionNeeded; then the one in use stands as it stood.
    """
    progress = progress or Progress(sys.stderr)
    try:
        with told_as_faults(Path(blueprint.folder)), _alone(Path(blueprint.folder), progress) as locked_fd:
            if not blueprint.is_ready(blueprint.folder, blueprint.requirements):
                _Builder(blueprint, progress, locked_fd).make()
    finally:
        progress.clear()


class _Builder:
    """One making of one environment, by the only process that holds its lock."""

    def __init__(self, blueprint: Blueprint, progress: Progress, locked_fd: int) -> None:
        self._blueprint = blueprint
        self._progress = progress
        self._locked_fd = locked_fd
        self._folder = Path(blueprint.folder)
        self._new = self._beside(f"new-{os.getpid()}")

    def make(self) -> None:
        if self._is_moved(self._folder):
            self._repoint(self._folder, old=self._place_of(self._folder))
            self._seal(self._folder)
            return
        finished = self._sweep()
        if finished is None:
            finished = self._new
            self._build()
        self._switch(finished)

    def _beside(self, suffix: str) -> Path:
        return self._folder.with_name(f"{self._folder.name}.{suffix}")

    def _stamp(self, folder: Path) -> bytes:
        return self._blueprint.stamp_of(str(folder), self._blueprint.requirements, str(self._folder))

    def _place_of(self, folder: Path) -> str:
        first = (folder / self._blueprint.stamp_name).read_bytes().partition(b"\n")[0]
        return first.decode("utf-8", "surrogateescape")

    def _is_moved(self, folder: Path) -> bool:
        """Whether all is well but the place: the checkout was moved, or copied, since."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            rest = (folder / self._blueprint.stamp_name).read_bytes().partition(b"\n")[2]
            return rest == self._stamp(folder).partition(b"\n")[2] and python_of(folder).exists()
        return False

    def _sweep(self) -> Path | None:
        """Remove what a killed start left; a finished environment that only missed its switch is the answer."""
        finished = None
        for left in sorted(self._folder.parent.glob(f"{self._folder.name}.new-*")):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if (left / self._blueprint.stamp_name).read_bytes() == self._stamp(left):
                    finished = left
                    continue
            _remove(left)
        for left in self._folder.parent.glob(f"{self._folder.name}.old-*"):
            _remove(left)
        return finished

    def _build(self) -> None:
        begun = time.monotonic()
        self._progress.say(f"Installing packages into {self._folder} …")
        try:
            # Debian keeps parts of it in a package of their own.
            from venv import EnvBuilder
        except ImportError as err:
            raise UserActionNeeded("This Python cannot make environments.", remedy=install_pip_remedy()) from err
        try:
            EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(self._new)
            log = self._beside("log")
            log.unlink(missing_ok=True)
            installer = Installer(python_of(self._new), self._progress, log=log, locked_fd=self._locked_fd)
            count = installer.install(Path(self._blueprint.requirements), hashed=self._blueprint.hashed)
            self._repoint(self._new, old=str(self._new))
            self._seal(self._new)
        except BaseException:
            shutil.rmtree(self._new, ignore_errors=True)
            raise
        self._progress.say(f"{count} packages installed in {time.monotonic() - begun:.0f} s.")

    def _repoint(self, folder: Path, *, old: str) -> None:
        """Make the programs in the environment name the place it has, or is about to have, instead of `old`."""
        for path in [folder / "pyvenv.cfg", *python_of(folder).parent.iterdir()]:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > SCRIPT_BYTES_MAX:
                continue
            before = path.read_bytes()
            after = repointed(before, old=old, new=str(self._folder))
            if before != after:
                _replace(path, after)

    def _seal(self, folder: Path) -> None:
        """Write the stamp, once everything it vouches for is on the disk."""
        if hasattr(os, "sync"):
            os.sync()
        _replace(folder / self._blueprint.stamp_name, self._stamp(folder))

    def _switch(self, finished: Path) -> None:
        """Put the finished environment in its place. One that is not ours is kept aside, never removed."""
        old = self._beside(f"old-{os.getpid()}")
        if os.path.lexists(self._folder) and not (self._folder / self._blueprint.stamp_name).exists():
            old = self._beside(f"kept-{os.getpid()}")
            self._progress.say(f"{self._folder} was not made by Locker; it is kept as {old.name}.")
        if os.path.lexists(self._folder):
            self._folder.rename(old)
        finished.rename(self._folder)
        if old.name.startswith(f"{self._folder.name}.old-"):
            shutil.rmtree(old, ignore_errors=True)


def repointed(content: bytes, *, old: str, new: str) -> bytes:
    """The content of a script with the path `old` replaced by `new`; whole paths only, for one may hold the other."""
    whole = re.compile(rb"(?<![^\s\"'=!])" + re.escape(os.fsencode(old)) + rb"(?![\w.-])")
    return whole.sub(lambda _: os.fsencode(new), content)


def python_of(folder: Path) -> Path:
    """The interpreter of the environment in `folder`."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _remove(path: Path) -> None:
    """Remove a folder with all it holds; of a link only the link."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        shutil.rmtree(path)


def _replace(path: Path, content: bytes) -> None:
    """Put new content in place of a file's, keeping its mode; a reader sees the old or the new, whole."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    if path.exists():
        shutil.copymode(path, temporary)
    temporary.replace(path)


@contextlib.contextmanager
def _alone(folder: Path, progress: Progress) -> Iterator[int]:
    """Hold the environment's lock; whoever comes second says so and waits. The lock goes with its last holder."""
    handle = os.open(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _take(handle):
            progress.say("Another start of Locker is installing its packages; waiting for it …")
            deadline = time.monotonic() + LOCK_WAIT_S_MAX
            while not _take(handle):
                if time.monotonic() > deadline:
                    raise TooBusy(f"Another start of Locker has held {folder}.lock for half an hour.")
                time.sleep(LOCK_POLL_S)
        yield handle
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def told_as_faults(folder: Path) -> Iterator[None]:
    """Every way in which the disk can refuse to hold the environment in `folder`, as something to act on.

    Raises FolderUnusable or StorageFull in place of OSError.
    """
    try:
        yield
    except OSError as err:
        raise _fault_of(err, folder) from err


def _fault_of(err: OSError, folder: Path) -> LockerError:
    if err.errno in _FULL:
        return StorageFull("The disk is full, so the packages could not be installed.", remedy="Free some space.")
    if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return FolderUnusable(
            f"{folder.parent} cannot be written, and Locker's packages have to go there.",
            remedy="Copy Locker into a folder of your own, or start it once as somebody who may write there.",
        )
    return FolderUnusable(
        f"{folder} could not be made: {err.strerror} ({err.filename}).", remedy="Mend that, then start again."
    )

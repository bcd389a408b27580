"""The making of an environment, where a real start cannot be brought to the point."""

from __future__ import annotations

import errno
import fcntl
import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.environment import Blueprint, Progress, builder, make_environment
from core.model.errors import FolderUnusable, LockerError, StorageFull, TooBusy
from tests.environment.checkout import make_wheel, pin


def blueprint(folder: Path, *, is_ready: Callable[[str, str], bool]) -> Blueprint:
    """A blueprint whose stamp is one word."""
    return Blueprint(
        folder=str(folder / ".venv"),
        requirements=str(folder / "requirements.txt"),
        stamp_name="stamp",
        stamp_of=lambda folder, requirements, place: b"here\nready",
        is_ready=is_ready,
    )


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EROFS, FolderUnusable),
        (errno.EACCES, FolderUnusable),
        (errno.ENOTDIR, FolderUnusable),
    ],
)
def test_what_the_disk_refuses_becomes_words(tmp_path: Path, number: int, expected: type[LockerError]) -> None:
    """A full or locked disk is named with a cure, whichever step met it."""

    def is_ready(folder: str, requirements: str) -> bool:
        raise OSError(number, os.strerror(number), folder)

    with pytest.raises(expected) as caught:
        make_environment(blueprint(tmp_path, is_ready=is_ready))

    assert caught.value.remedy


def test_found_ready_after_waiting(tmp_path: Path) -> None:
    """Nothing is made when another start made it meanwhile."""
    make_environment(blueprint(tmp_path, is_ready=lambda folder, requirements: True))

    assert not (tmp_path / ".venv").exists()


def test_waiting_for_another_start_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is never given back ends in words instead of silence."""
    monkeypatch.setattr(builder, "LOCK_WAIT_S_MAX", 0.2)
    told = io.StringIO()
    with (tmp_path / ".venv.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TooBusy):
            make_environment(blueprint(tmp_path, is_ready=lambda f, r: False), Progress(told))

    assert "waiting for it" in told.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"#!/a/.venv/bin/python\n", b"#!/b/a/.venv/bin/python\n"),
        (b'VIRTUAL_ENV="/a/.venv"\n', b'VIRTUAL_ENV="/b/a/.venv"\n'),
        (b"#!/b/a/.venv/bin/python\n", b"#!/b/a/.venv/bin/python\n"),
        (b"#!/a/.venv.test/bin/python\n", b"#!/a/.venv.test/bin/python\n"),
    ],
)
def test_only_whole_paths_are_rewritten(tmp_path: Path, content: bytes, expected: bytes) -> None:
    """A path that only begins or ends like the old place is another path; rewriting twice is rewriting once."""

    assert expected == builder.repointed(content, old="/a/.venv", new="/b/a/.venv")


@pytest.mark.parametrize("hashed", [True, False])
def test_without_digests_dependencies_come_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed: bool) -> None:
    """Pins with digests are all there is; a connector's bare pins bring what they ask for."""
    needed = make_wheel(tmp_path / "wheels", "needed", "1.0", {"needed.py": ""})
    first = make_wheel(tmp_path / "wheels", "first_one", "1.0", {"first_one.py": ""}, requires="needed")
    assert needed.exists()
    (tmp_path / "requirements.txt").write_text(pin(first) if hashed else "first_one==1.0\n")
    for name, value in {
        "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": (tmp_path / "wheels").as_uri(), "PIP_CONFIG_FILE": os.devnull,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    plan = replace(blueprint(tmp_path, is_ready=lambda folder, requirements: False), hashed=hashed)
    make_environment(plan, Progress(io.StringIO()))
    installed = {path.stem for path in (tmp_path / ".venv").glob("lib/*/site-packages/*.py")}

    assert {"first_one"} | (set() if hashed else {"needed"}) == installed

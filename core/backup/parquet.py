"""Tables as Parquet, through pyarrow: three times as large as all else that Locker stands on, and wanted by few.

So it is no part of what `run` uses: the first `export --parquet` installs it, pinned and hashed, into an environment
beside the others, and a program of its own does the writing.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from core.backup import parquet_writer
from core.environment import Blueprint, Progress, make_environment
from core.model.errors import Broken, StorageFull
from core.store import Column, MakeTable

PACKAGE = "pyarrow"
STAMP = "parquet.stamp"
WRITE_S_MAX = 3600.0

_ERROR_LETTERS = 2000
_FULL = "No space left on device"


def parquet_tables(folder: Path, requirements: Path, *, environment: Mapping[str, str]) -> MakeTable:
    """What writes Parquet tables; the environment in `folder` is made first where this Python has no pyarrow.

    Raises what making an environment raises: Offline, StorageFull, FolderUnusable, UserActionNeeded or Broken.
    """
    python = Path(sys.executable)
    if importlib.util.find_spec(PACKAGE) is None:
        blueprint = Blueprint(
            folder=str(folder), requirements=str(requirements), stamp_name=STAMP, stamp_of=_stamp_of,
            is_ready=_is_ready,
        )  # fmt: skip
        make_environment(blueprint, Progress(sys.stderr))
        python = _python_of(folder)
    kept = {name: value for name, value in environment.items() if not name.startswith("LOCKER_")}

    def write(records: Path, columns: list[Column], target: Path) -> None:
        described = target.with_name("columns.json")
        described.write_bytes(msgspec.json.encode(columns))
        command = [str(python), "-I", parquet_writer.__file__, str(described), str(records), str(target)]
        try:
            done = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=WRITE_S_MAX, check=False)
        except subprocess.TimeoutExpired as err:
            raise Broken(
                f"a table was not written as Parquet within {WRITE_S_MAX:g} s", remedy="Export without --parquet."
            ) from err
        described.unlink()
        if done.returncode == 0:
            return
        if _FULL in done.stderr:
            raise StorageFull(f"there is no room to write {target.name} as Parquet")
        last = done.stderr.strip()[-_ERROR_LETTERS:].splitlines()[-1:] or ["it said nothing"]
        raise Broken(f"a table cannot be written as Parquet: {last[0][:200]}", remedy="Export without --parquet.")

    return write


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _stamp_of(folder: str, requirements: str, place: str | None) -> bytes:
    """Where it stands, whose Python it uses, and what was installed."""
    python = _python_of(Path(folder)).resolve()
    return f"{place or folder}\n{python}\n".encode() + Path(requirements).read_bytes()


def _is_ready(folder: str, requirements: str) -> bool:
    try:
        return (Path(folder) / STAMP).read_bytes() == _stamp_of(folder, requirements, None)
    except OSError:
        return False

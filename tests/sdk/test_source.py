"""A connector's folder, wherever it lies."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from connectors.sdk.source import Source
from connectors.sdk.testing import ROOT, FakeCore
from core.model.errors import Broken, ManifestInvalid


def _connector(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "connector.toml").write_text(
        f'name = "{folder.name}"\ntitle = "T"\n[types.thing]\n[streams.thing]\n' + files.pop("manifest", "")
    )
    (folder / "connector.py").write_text("from connectors.sdk import run\n\nrun(__file__)\n")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return folder


def test_a_folder_outside_the_checkout_is_a_connector(core: FakeCore, tmp_path: Path) -> None:
    """Its modules import each other as connectors.<folder>.<module>, as those in the checkout do."""
    folder = _connector(
        tmp_path / "own" / "weather",
        words="GREETING = 'hello'",
        sync="""
        from connectors.sdk import stream
        from connectors.weather.words import GREETING

        @stream("thing")
        def things(context, cursor):
            yield {"id": GREETING}
        """,
    )
    child = core.start(folder)

    assert "ok" == child.sync()[0]["status"]
    assert {"hello"} == set(child.records("thing"))


def test_a_module_of_the_author_does_not_stand_in_for_pythons(core: FakeCore, tmp_path: Path) -> None:
    """A calendar.py in the folder is the connector's own affair."""
    folder = _connector(
        tmp_path / "own" / "dates",
        calendar="raise RuntimeError('this is not the calendar you want')",
        sync="""
        import calendar
        from connectors.sdk import stream

        @stream("thing")
        def things(context, cursor):
            yield {"id": calendar.timegm((1970, 1, 1, 0, 0, 7))}
        """,
    )

    assert "ok" == core.start(folder).sync()[0]["status"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("1 / 0", "ZeroDivision"),
    ],
)
def test_a_broken_sync_hides_nothing_else(core: FakeCore, tmp_path: Path, text: str, reason: str) -> None:
    """The child starts and serves its data; the run tells what is wrong."""
    child = core.start(_connector(tmp_path / "own" / "crooked", sync=text))
    run = child.sync()[0]

    assert 200 == child.get("/records/thing").status_code
    assert ("failed", "broken") == (run["status"], run["problem"]["type"])
    assert reason in run["problem"]["detail"]


def test_faults_of_the_manifest_are_all_named(tmp_path: Path) -> None:
    """As by the core's own catalog."""
    folder = _connector(tmp_path / "wrong", manifest='[nonsense]\n[limits]\nidle_stop_s = "x"\n')
    with pytest.raises(ManifestInvalid) as caught:
        _ = Source(folder).manifest

    assert 2 == len(caught.value.faults)


def test_a_manifest_beyond_all_measure_is_not_read(tmp_path: Path) -> None:
    """Its size is bounded."""
    folder = _connector(tmp_path / "huge", manifest="#" * 300_000)
    with pytest.raises(Broken, match="more than"):
        _ = Source(folder).manifest


def test_importing_starts_nothing() -> None:
    """No thread, no file, no socket: a warm parent may fork after it."""
    code = """
import os, threading
before = set(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else set()
import connectors.sdk.connector
after = set(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else set()
assert threading.active_count() == 1, threading.enumerate()
assert after == before, after - before
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (0, "") == (done.returncode, done.stderr)

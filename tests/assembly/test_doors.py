"""An open door lets strangers in at its path and below it, and nowhere else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import requests

from tests.fakes.house import ROOT, House, open_house


def _as_stranger(house: House, path: str) -> int:
    return requests.get(f"{house.url}/Me/obedient{path}", timeout=20).status_code


def test_a_door_is_judged_as_the_child_will_see_the_path(tmp_path: Path) -> None:
    """Written otherwise it is no door: a child that reads `%2F` as part of a name must not meet a stranger there."""
    folder = tmp_path / "connectors" / "obedient"
    shutil.copytree(ROOT / "tests" / "fakes" / "programs" / "obedient", folder)
    manifest = folder / "connector.toml"
    manifest.write_text(manifest.read_text() + '[doors]\npaths = ["/dav"]\n')
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "locker.toml").write_text(f"connector_paths = {json.dumps([str(folder.parent)])}\n")
    with open_house(tmp_path) as house:
        house.install("obedient")
        shut = _as_stranger(house, "/dav/x")
        assert house.ask("PUT", "/core/obedient/doors", json={"open": ["/dav"]}).ok
        answers = {
            path: _as_stranger(house, path)
            for path in ("/dav", "/dav/x", "/dav/%2E%2E/x", "/david", "/", "/dav%2Fx", "/%64av%2fx", "/records/entry")
        }

    assert 401 == shut
    assert {
        "/dav": 200, "/dav/x": 200, "/dav/%2E%2E/x": 400, "/david": 401, "/": 401, "/dav%2Fx": 401, "/%64av%2fx": 401,
        "/records/entry": 401,
    } == answers  # fmt: skip

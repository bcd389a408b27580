"""Whose account a service holds: told by its child, remembered by the core over sign-outs and restarts."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fakes.house import ROOT, House, open_house


def _sign_in(house: House, account: str) -> int:
    return house.post("/Me/gate/auth/token", json={"token": f"good-{account}"}).status_code


def test_a_service_belongs_to_one_account_for_ever(tmp_path: Path) -> None:
    """Signing out and a restart do not let another person's data in; the owner sees whose it is."""
    (tmp_path / "config").mkdir()
    paths = json.dumps([str(ROOT / "tests" / "sdk" / "connectors")])
    (tmp_path / "config" / "locker.toml").write_text(f"connector_paths = {paths}\n")
    with open_house(tmp_path) as house:
        house.install("gate")
        first = _sign_in(house, "ann")
        assert house.post("/Me/gate/auth/sign-out").ok
        assert house.post("/core/gate/restart").ok
        second = _sign_in(house, "bob")
        again = _sign_in(house, "ann")
        shown = house.get("/map?id=gate").json()["account"]

    assert [200, 409, 200] == [first, second, again]
    assert "ann" == shown

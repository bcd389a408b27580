"""The commands against a whole core, as the owner uses them when the first login address is spent."""

from __future__ import annotations

import json
import re
from pathlib import Path

import requests

from tests.cli.conftest import Locker
from tests.fakes.house import House, open_house


def _opened(house: House, address: str) -> requests.Response:
    """The address as a browser opens it: by its name, which every browser takes to this machine."""
    host = f"locker.localhost:{house.port}"
    assert address.startswith(f"http://{host}/")
    return requests.get(
        address.replace("locker.localhost", "127.0.0.1", 1), headers={"Host": host}, timeout=10, allow_redirects=False
    )


def test_a_spent_login_address_is_replaced_by_status(tmp_path: Path, locker: Locker) -> None:
    """`status` prints an address that logs in, once, as text and as JSON."""
    with open_house(tmp_path) as house:
        first = _opened(house, house.login_url)
        again = _opened(house, house.login_url)
        printed = re.findall(r"http://locker\.localhost:\S+", locker("status").out)
        told = json.loads(locker("status", "--json").out)["login_url"]

        assert ("locker_session=", False) == (first.headers["set-cookie"][:15], "set-cookie" in again.headers)
        assert ["locker_session="] * 2 == [_opened(house, url).headers["set-cookie"][:15] for url in (*printed, told)]
        assert 403 == _opened(house, told).status_code


def test_the_page_of_an_installed_service_opens(tmp_path: Path, locker: Locker) -> None:
    """The address that `install` prints is of the one host on which the owner's session counts."""
    with open_house(tmp_path) as house:
        session = _opened(house, house.login_url).headers["set-cookie"].split(";")[0]
        page = locker("install", "feeds", "--no-wait").out.split()[-1]
        host = {"Host": f"locker.localhost:{house.port}", "Cookie": session}
        answer = requests.get(page.replace("locker.localhost", "127.0.0.1", 1), headers=host, timeout=10)

    assert f"http://locker.localhost:{house.port}/services/feeds" == page
    assert 200 == answer.status_code

"""A token that is deleted and a session that is ended open nothing more, not even what they had opened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.fakes.house import House, open_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A core without services."""
    with open_house(tmp_path_factory.mktemp("revoked")) as started:
        yield started


def follow(house: House, **headers: str) -> requests.Response:
    """An open event stream, its first line read."""
    answer = requests.get(f"{house.url}/events", headers=headers, stream=True, timeout=20)
    assert (200, b"retry: 2000") == (answer.status_code, next(answer.iter_lines()))
    return answer


def test_the_stream_of_a_deleted_token_ends(house: House) -> None:
    """While another token's goes on."""
    made = [house.post("/tokens", json={"label": "x", "scopes": ["read"]}).json() for _ in range(2)]
    gone, stays = (follow(house, Authorization=f"Bearer {one['token']}") for one in made)
    house.ask("DELETE", f"/tokens/{made[0]['id']}")
    rest = b"".join(gone.iter_content(None))
    again = house.get("/events", headers={"Authorization": f"Bearer {made[0]['token']}"})
    house.ask("DELETE", f"/tokens/{made[1]['id']}")
    last = b"".join(stays.iter_content(None))

    assert 401 == again.status_code
    assert b"data:" not in rest + last


def test_what_a_deleted_token_had_open_at_a_child_ends(house: House) -> None:
    """A child knows nothing of tokens, so the door ends it."""
    house.install("feeds")
    made = house.post("/tokens", json={"label": "x", "scopes": ["read"]}).json()
    headers = {"Authorization": f"Bearer {made['token']}", "Accept": "text/event-stream"}
    stream = requests.get(f"{house.url}/Me/feeds/status", headers=headers, stream=True, timeout=20)
    lines = stream.iter_lines()
    first = next(lines)
    house.ask("DELETE", f"/tokens/{made['id']}")
    with pytest.raises(requests.RequestException):
        list(lines)

    assert first.startswith(b"event:")


def test_the_stream_of_a_session_ends_with_it(house: House) -> None:
    """Logging out in a browser closes what its pages had open."""
    host = {"Host": f"locker.localhost:{house.port}"}
    address = house.login_url.replace("locker.localhost", "127.0.0.1")
    login = requests.get(address, headers=host, timeout=10, allow_redirects=False)
    own = {**host, "Cookie": login.headers["set-cookie"].partition(";")[0], "Sec-Fetch-Site": "same-origin"}
    stream = follow(house, **own)
    origin = {"Origin": f"http://locker.localhost:{house.port}"}
    requests.post(f"{house.url}/logout", headers={**own, **origin}, timeout=10, allow_redirects=False)

    assert b"data:" not in b"".join(stream.iter_content(None))

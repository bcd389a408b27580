"""Names under which the core may be addressed."""

from __future__ import annotations

import pytest

from core.web.hosts import Hosts

HOSTS = Hosts(8042, ("Locker.Example",))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8042", "locker.localhost:8042", "LOCKER.localhost:8042", "localhost:8042", "locker.example:8042",
        "locker.example", "Locker.example:443",
    ],
)  # fmt: skip
def test_own_names_are_allowed(host: str) -> None:
    """The core's own names with its port, and those its owner gave with any port or none; whatever their case."""
    assert HOSTS.is_allowed(host)


@pytest.mark.parametrize(
    "host",
    [
        "", "127.0.0.1", "127.0.0.1:8043", "127.0.0.1:8042.", "evil.example:8042", "locker.localhost.evil.example:8042",
        "127.0.0.1:8042@evil.example", "127.0.0.2:8042", "0.0.0.0:8042", "[::1]:8042", "127.1:8042", " 127.0.0.1:8042",
        "localhost", "locker.localhost", "localhost:443", "locker.localhost:443", "locker.example:", "locker.example:x",
        "locker.example:443:443", "locker.example.:443", "x.locker.example", "locker.example:8042@evil.example",
        "locker.example\n",
    ],
)  # fmt: skip
def test_other_names_are_not(host: str) -> None:
    """A rebinding name, another port, another spelling: none of them is ours."""
    assert not HOSTS.is_allowed(host)


def test_the_cores_own_names_stay_strict_even_when_given() -> None:
    """Given once more as further names they still want the core's port."""
    hosts = Hosts(8042, ("localhost", "locker.localhost"))

    assert not any(map(hosts.is_allowed, ("localhost", "localhost:443", "locker.localhost", "locker.localhost:443")))


def test_a_session_counts_on_one_host_only() -> None:
    """The dashboard's name, not the number and not the bare localhost."""
    counts = [h for h in ("127.0.0.1:8042", "localhost:8042", "locker.localhost:8042") if HOSTS.is_dashboard(h)]

    assert ["locker.localhost:8042"] == counts


def test_port_80_may_be_left_out() -> None:
    """Browsers leave it out of Host and of Origin."""
    hosts = Hosts(80)

    assert hosts.is_dashboard("locker.localhost")
    assert "http://locker.localhost" == hosts.origin

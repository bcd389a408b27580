"""What holds for every test: the long ones only on request, nothing but loopback, no silent skip where all must run."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections.abc import Generator, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from tests.slow_report import SlowReport

# Set where everything is installed: there a skip would hide something.
NOTHING_SKIPPED = "TESTS_NOTHING_SKIPPED"
# How long an example takes says how busy the machine is: a bench measures, a test asks what is right.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_addoption(parser: pytest.Parser) -> None:
    """--slow and where its report goes."""
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    parser.addoption("--slow-report", type=Path, metavar="FILE", help="write what the slow tests found to FILE")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the report where the results come together; let Ctrl-C reach what the tests start.

    A shell that starts the tests in the background has them ignore it, and every program they start would too.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    report = config.getoption("--slow-report")
    if report is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SlowReport(report), "slow-report")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out unless they are asked for."""
    if config.getoption("--slow"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in set(slow)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip is a failure where nothing may be skipped."""
    return _judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself."""
    return _judged((yield))


def _judged(report: Report) -> Report:
    if report.skipped and os.environ.get(NOTHING_SKIPPED) and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where {NOTHING_SKIPPED} is set: {report.longrepr}"
    return report


@pytest.fixture(autouse=True, scope="session")
def only_loopback() -> Iterator[None]:
    """No test talks to another machine: its connection fails in the test that asked for it."""
    patch = pytest.MonkeyPatch()
    for name in ("connect", "connect_ex"):
        patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
    yield
    patch.undo()


def _guarded(original: Any) -> Any:
    def connect(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(str(address[0])):
            raise AssertionError(f"a test wanted to talk to {address[0]}; tests talk to this machine only")
        return original(self, address)

    return connect


def _is_here(host: str) -> bool:
    try:
        address = ip_address(host.partition("%")[0])
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def requires_program(name: str, install: str) -> str:
    """The path of a program; without it the test is skipped, with the line that installs it."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: {install}")
    return path

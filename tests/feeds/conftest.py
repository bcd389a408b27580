"""A core, sites and a real nginx for feeds."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.testing import Child, FakeCore
from tests.conftest import requires_program
from tests.feeds.site import Site

DATA = Path(__file__).parents[1] / "data" / "feeds"

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    types {{ text/xml xml; application/json json; }}
    access_log off;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    limit_req_zone $binary_remote_addr zone=z:1m rate=1r/m;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/www;
        gzip on; gzip_types text/xml application/json; gzip_min_length 100;
        location /limited/ {{ limit_req zone=z; limit_req_status 429; alias {folder}/www/; }}
        location /moved/ {{ rewrite ^/moved/(.*)$ /$1 permanent; }}
        location /elsewhere/ {{ rewrite ^/elsewhere/(.*)$ /$1 redirect; }}
    }}
}}
"""


@pytest.fixture
def core(tmp_path: Path) -> Iterator[FakeCore]:
    """The core's side of the contract over a scratch folder."""
    with FakeCore(tmp_path) as core:
        yield core


@pytest.fixture
def follow(core: FakeCore) -> Callable[..., Child]:
    """A feeds service that follows these addresses."""

    def start(*urls: str, **settings: Any) -> Child:
        return core.start("connectors/feeds", settings={"urls": list(urls), **settings})

    return start


@pytest.fixture
def site() -> Iterator[Site]:
    """A website of the test's own."""
    site = Site()
    yield site
    site.close()


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The sample feeds behind a real nginx: its address."""
    program = requires_program("nginx", "apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("nginx")
    shutil.copytree(DATA, folder / "www", ignore=shutil.ignore_patterns("LICENSES", "*.md"))
    port = _free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    process = subprocess.Popen(
        [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.02)
    raise AssertionError("nginx does not answer")

"""Every command that the docs show exists with its options; the README's are run, one after the other."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import click
import pytest

from core.cli.command_line import commands
from core.config import load_config
from tests.conftest import requires_program
from tests.fakes.feed_source import FeedSource
from tests.fakes.house import ROOT, open_house

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
CONSOLE = re.compile(r"^```(?:console|sh)\n(.*?)^```", flags=re.M | re.S)
CALL = re.compile(r"python3? (?:\S*/)?locker\.py(?P<words>[^`|;&)\n]*)")
PLACEHOLDER = re.compile(r"\[[A-Z]+\]")
OPML = '<opml version="2.0"><body><outline type="rss" text="Other" xmlUrl="{}"/></body></opml>'
HOME_OF_OTHERS = "https://example.org/feed.xml"


def shown_commands() -> Iterator[tuple[str, str]]:
    """Page and command line of every call of locker.py, in blocks and in the running text."""
    for page in PAGES:
        for match in CALL.finditer(page.read_text(encoding="utf-8")):
            if not PLACEHOLDER.search(match[0]):
                yield str(page.relative_to(ROOT)), match[0].strip()


def parsed(words: list[str]) -> list[str]:
    """The names of the commands that these words lead to, every option and argument checked on the way."""
    command: click.Command = commands
    context = commands.make_context("locker.py", words)
    names = []
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert name is not None and found is not None
        command, context = found, found.make_context(name, rest, parent=context)
        names.append(name)
    return names


@pytest.mark.parametrize(("page", "line"), sorted(set(shown_commands())), ids=lambda value: str(value))
def test_each_command_of_the_docs_is_one(page: str, line: str) -> None:
    """It says python3, and the parser takes it with all that is said after it."""
    words = shlex.split(CALL.fullmatch(line)["words"])  # type: ignore[index]

    assert line.startswith("python3 ")
    assert parsed(words or ["run"])


def test_the_request_of_the_manual_waits_for_the_start_before_it(tmp_path: Path) -> None:
    """As it stands, but for the port: asked before the core listens, it is answered all the same."""
    requires_program("curl", "apt-get install curl")
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    block = next(block for block in CONSOLE.findall(page) if "LOCKER_TOKEN" in block)
    curl = next(line for line in block.splitlines() if "curl" in line).removeprefix("$ ").replace("8042", "$PORT")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "LOCKER_TOKEN": "t" * 40, "PORT": str(port)}
    asked = subprocess.Popen(["sh", "-c", curl], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with HTTPServer(("127.0.0.1", port), _Echo) as late:
        late.timeout = 20
        late.handle_request()
    out, _ = asked.communicate(timeout=20)

    assert b"Bearer " + b"t" * 40 == out


class _Echo(BaseHTTPRequestHandler):
    """Answers what it was asked with."""

    def do_GET(self) -> None:
        body = self.headers["Authorization"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is told."""


def test_a_command_that_is_none_would_be_found() -> None:
    """The check above can fail."""
    for words in (["synchronise", "feeds"], ["sync", "feeds", "--now"], ["install"], ["token", "make"]):
        with pytest.raises(click.UsageError):
            parsed(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_shell_blocks_are_shell(page: Path) -> None:
    """Each block parses, and what a terminal shows begins with its prompt."""
    for block in CONSOLE.findall(page.read_text(encoding="utf-8")):
        assert 0 == subprocess.run(["sh", "-n"], input=without_prompts(block), text=True, check=False).returncode, block


def without_prompts(block: str) -> str:
    """A block as a shell takes it."""
    return re.sub(r"^\$ ", "", block, flags=re.M)


def test_the_start_of_the_readme_names_what_is_asked_later() -> None:
    """The folder of the first command is the one that the later ones are told of."""
    blocks = [without_prompts(block) for block in CONSOLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))]
    started = re.findall(r"locker\.py --me (\S+)", blocks[0])
    exported = re.findall(r"export LOCKER_ME=(\S+)", "".join(blocks))

    assert started == exported == ["~/Me"]
    assert (
        Path("/h/Me")
        == load_config(
            root=ROOT, config_dir=None, environment={"HOME": "/h", "LOCKER_ME": exported[0]}, overrides={}
        ).me
    )


def test_the_readme_s_sequence_runs(tmp_path: Path) -> None:
    """In one shell, word for word, but for the feed's address, the port, and following a log for ever."""
    requires_program("curl", "apt install curl")
    readme = CONSOLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    script = "".join(without_prompts(block) for block in readme if re.search("export LOCKER_ME|opml|curl", block))
    with FeedSource() as source, open_house(tmp_path) as house:
        source.entries.update({"news": {"1": "First", "2": "Second"}, "other": {"3": "Third"}})
        (tmp_path / "feeds.opml").write_text(OPML.format(source.url("other")))
        for shown, real in (
            (HOME_OF_OTHERS, source.url("news")), (":8042", f":{house.port}"), (" -f\n", "\n"), ("~/Me", "~/Me"),
        ):  # fmt: skip
            assert shown in script
            script = script.replace(shown, real)
        # A function by the interpreter's name: what is typed after it stays as it stands on the page.
        call = f'python3() {{ shift; PYTHONPATH={ROOT} {sys.executable} -m core.cli "$@"; }}\n'
        done = subprocess.run(
            ["sh", "-eu", "-c", call + script], cwd=tmp_path, text=True, capture_output=True, timeout=120, check=False,
            env={**os.environ, "HOME": str(tmp_path), "LOCKER_CONFIG": str(house.config), "COLUMNS": "200"},
        )  # fmt: skip
        assert 0 == done.returncode, done.stdout + done.stderr
        house.wait(lambda: 3 == len(house.records("feeds", "entry")), what="the entries of both feeds")

    installed, table, row = done.stdout.splitlines()[:3]
    assert "Installed feeds." in installed
    assert table.startswith("stream")
    assert "ok" == row.split()[1]
    assert int(row.split()[2]) > 0
    assert '"added":1' in done.stdout.replace(" ", "")

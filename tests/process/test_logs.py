"""What children print: whole lines, no secrets, never too much."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sdk.logs import Blotting
from core.model.clock import ManualClock
from core.model.errors import NotFound
from core.process import ChildLogs, LogLimits
from core.process.logs import CUT_MARK, LEFT_OUT, LINE_BYTES_MAX, Lines, Redaction, ServiceLog
from tests.process.yard import BRISK, KEY, Yard, until

MakeYard = Callable[..., Yard]
TOKEN = "token-" + "t" * 37


def redaction() -> Redaction:
    """A child's secrets: its token and key, and one in its settings."""
    return Redaction(decisive=(TOKEN, KEY), others=("hunter22", "short", ""))


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=80), st.integers(1, 40))
def test_lines_do_not_depend_on_the_cuts(text: str, step: int) -> None:
    """However bytes arrive, lines come out whole; a letter cut in two is one letter."""
    data = f"{text}\nsecond\nrest".encode()
    lines = Lines(redaction())
    heard = [line for n in range(0, len(data), step) for line in lines.feed(data[n : n + step])]
    shown = "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in text)

    assert [shown, "second", "rest"] == heard + lines.rest()


@settings(deadline=None)
@given(st.integers(0, 2 * len(TOKEN)), st.integers(0, 3 * LINE_BYTES_MAX))
def test_no_part_of_a_token_survives(step: int, before: int) -> None:
    """INV-08: neither a cut between pieces nor the cut of a long line leaves a telling part of a token."""
    data = b"x" * before + f" {TOKEN} and {TOKEN}\n".encode()
    lines = Lines(redaction())
    at = before + step
    heard = "".join(lines.feed(data[:at]) + lines.feed(data[at:]))

    assert TOKEN[:8] not in heard


@pytest.mark.parametrize("secret", ["hunter22", TOKEN, KEY])
def test_every_secret_is_kept_out(secret: str) -> None:
    """INV-08: a token or key takes its whole line with it, any other secret is replaced."""
    shown = redaction().clean(f"before {secret} after")

    assert secret not in shown
    assert (LEFT_OUT if secret != "hunter22" else "before (secret) after") == shown


def test_short_words_are_no_secrets() -> None:
    """A password of a few letters would tear every line apart; nothing is hidden by an empty one."""
    assert "a short word" == redaction().clean("a short word")


def test_repr_hides_the_secrets() -> None:
    """INV-08: an object that ends in a log says how many secrets it knows, not which."""
    assert "hunter22" not in repr(redaction()) and TOKEN not in repr(redaction())


def test_a_line_is_cut_at_its_bound() -> None:
    """INV-10: 8 KiB are shown; one byte more and the end is cut; the next line is whole again."""
    whole = Lines(redaction()).feed(b"x" * LINE_BYTES_MAX + b"\n")
    lines = Lines(redaction())
    over = lines.feed(b"x" * (LINE_BYTES_MAX + 1) + b"\n")
    far_over = lines.feed(b"x" * 10 * LINE_BYTES_MAX + b"\nnext\n")

    assert ["x" * LINE_BYTES_MAX] == whole
    assert ["x" * LINE_BYTES_MAX + CUT_MARK] == over
    assert far_over[0].endswith(CUT_MARK) and len(far_over[0]) <= LINE_BYTES_MAX + len(CUT_MARK)
    assert "next" == far_over[1]


def test_control_characters_cannot_reach_a_terminal() -> None:
    """What would clear a screen or forge a line is shown as what it is: nothing."""
    assert ["\ufffd[2J\ufffdtext\tend"] == Lines(redaction()).feed(b"\x1b[2J\x07text\tend\r\n")


def test_files_rotate_by_size(tmp_path: Path) -> None:
    """INV-10: a service's log takes its share of the disk and no more; the newest lines are kept."""
    limits = LogLimits(file_bytes_max=1000, files_max=3, burst_bytes=10**6)
    logs = ChildLogs(tmp_path / "logs", clock=ManualClock(), limits=limits)
    for number in range(200):
        logs.of("github").write("out", f"line {number}")
    logs.close()
    files = sorted((tmp_path / "logs").iterdir())

    assert ["github.log", "github.log.1", "github.log.2"] == [file.name for file in files]
    assert all(file.stat().st_size <= 1000 and file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert logs.tail("github", 1)[0].endswith("Z out | line 199")


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
def test_a_line_of_the_sdk_stands_under_its_level(tmp_path: Path, level: str) -> None:
    """It comes by stderr, and is no error for that."""
    record = logging.makeLogRecord({"levelname": level, "name": "connectors.my-notes.sync", "msg": "a: b"})
    logs = ChildLogs(tmp_path, clock=ManualClock())
    logs.of("notes").write("err", Blotting().format(record))
    logs.close()

    assert logs.tail("notes", 1)[0].endswith(f"Z {level} | connectors.my-notes.sync: a: b")


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "INFO here I am", "info x: y", "INFORM x: y"])
def test_a_line_of_another_program_is_no_error_for_where_it_comes_from(tmp_path: Path, line: str) -> None:
    """What stderr says without a level is text like any other; an error's message ends with it all the same."""
    log = ServiceLog(tmp_path / "notes.log", clock=ManualClock(), limits=LogLimits())
    log.write("err", line)
    log.close()

    assert (tmp_path / "notes.log").read_text().endswith(f"Z out | {line}\n")
    assert [line] == log.last_lines(5)


def test_a_level_that_stands_on_stdout_is_text(tmp_path: Path) -> None:
    """Only what comes by stderr is looked at for one."""
    record = logging.makeLogRecord({"levelname": "ERROR", "name": "connectors.my-notes.sync", "msg": "a: b"})
    logs = ChildLogs(tmp_path, clock=ManualClock())
    logs.of("notes").write("out", Blotting().format(record))
    logs.close()

    assert logs.tail("notes", 1)[0].endswith("Z out | " + Blotting().format(record))


def test_a_flood_is_thinned_out(tmp_path: Path) -> None:
    """INV-10: past its allowance a service's lines are only counted; the count is written when there is room."""
    clock = ManualClock()
    limits = LogLimits(burst_bytes=1000, bytes_per_s=10.0)
    logs = ChildLogs(tmp_path / "logs", clock=clock, limits=limits)
    log = logs.of("github")
    for number in range(1000):
        log.write("err", f"flood {number}")
    clock.advance(1000.0)
    log.write("err", "calm again")
    logs.close()
    lines = logs.tail("github", 1000)

    assert 10 < len(lines) < 30
    assert lines[-2].endswith("lines left out") and lines[-1].endswith("calm again")
    assert 1000 - (len(lines) - 2) == int(lines[-2].split()[-4])


def test_tail_of_nothing_and_of_no_service(tmp_path: Path) -> None:
    """A service that never spoke has an empty tail; a name that is none is refused, with dots or without."""
    logs = ChildLogs(tmp_path / "logs", clock=ManualClock())
    logs.of("github").write("core", "one")
    logs.close()

    assert ([], []) == (logs.tail("feeds", 10), logs.tail("github", 0))
    for name in ("../core", "core", "", "x" * 65):
        with pytest.raises(NotFound):
            logs.tail(name, 10)


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """INV-09: a full or closed disk is told once; the lines are dropped, the child goes on."""
    folder = tmp_path / "logs"
    logs = ChildLogs(folder, clock=ManualClock())
    log = logs.of("github")
    (folder / "github.log").mkdir(parents=True)
    log.write("err", "one")
    log.write("err", "two")

    assert ["service log cannot be written"] == [r.getMessage().split(" path")[0] for r in caplog.records]
    assert ["one", "two"] == log.last_lines(5)


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """Somebody cleared the logs away: what is printed from then on is kept."""
    logs = ChildLogs(tmp_path / "logs", clock=ManualClock())
    for number in range(2):
        logs.of("foo").write("out", f"line {number}")
        logs.close()
        said = logs.tail("foo", 10)
        shutil.rmtree(tmp_path / "logs")

    assert ["line 1"] == [line.partition(" | ")[2] for line in said]


def test_a_link_in_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    """A link set where the log should be does not lead the core to write elsewhere."""
    folder = tmp_path / "logs"
    folder.mkdir()
    (tmp_path / "target").write_text("untouched")
    os.symlink(tmp_path / "target", folder / "github.log")
    logs = ChildLogs(folder, clock=ManualClock())
    logs.of("github").write("err", "one")
    logs.close()

    assert "untouched" == (tmp_path / "target").read_text()


def test_handshake_never_logged(make_yard: MakeYard, caplog: pytest.LogCaptureFixture) -> None:
    """INV-08: a child that echoes its greeting everywhere leaves no token, key or secret in any log or error."""
    caplog.set_level("DEBUG")

    async def scenario() -> None:
        async with make_yard() as yard:
            settings = {"password": "settings-secret-value", "url": "http://example.org/"}
            name = yard.add("echoes_handshake", settings=settings, secrets=("settings-secret-value",))
            endpoint = await yard.supervisor.ensure_running(name)
            await until(lambda: "goodnight" in yard.log_text(name))
            await yard.supervisor.stop(name, reason="test")
            everything = yard.log_text(name) + caplog.text + repr(endpoint) + repr(yard.specs) + repr(yard.greetings)
            everything += (yard.me / "run" / "children.json").read_text()

            for secret in (endpoint.token, KEY, "settings-secret-value", "app-secret-value"):
                assert secret not in everything
            assert LEFT_OUT in yard.log_text(name)

    asyncio.run(scenario())


def test_last_words_of_an_echoing_child_hold_no_secret(make_yard: MakeYard, tmp_path: Path) -> None:
    """INV-08: the error of a child that dies with its greeting on its lips quotes none of it."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "connector.py").write_text("import sys\nsys.exit('bad greeting: ' + sys.stdin.readline())\n")

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("dies", source=source)
            try:
                await yard.supervisor.ensure_running(name)
            except Exception as err:
                told = str(err)

            assert LEFT_OUT in told
            assert KEY not in told and yard.greetings[0].token not in told

    asyncio.run(scenario())


def test_flood_neither_fills_the_disk_nor_stalls_the_core(make_yard: MakeYard) -> None:
    """INV-10: a child that writes without end goes on serving, others start as ever, its log stays within bounds."""

    async def scenario() -> None:
        limits = LogLimits(file_bytes_max=64 * 1024, files_max=2, burst_bytes=256 * 1024, bytes_per_s=1024.0)
        async with make_yard(limits=replace(BRISK, stop_grace_s=2.0), log_limits=limits) as yard:
            loop = asyncio.get_running_loop()
            endpoint = await yard.supervisor.ensure_running(yard.add("floods_stderr"))
            await until(lambda: "line" in yard.log_text("floods-stderr"))
            longest_s = 0.0
            for _ in range(50):
                began = loop.time()
                await asyncio.sleep(0.01)
                longest_s = max(longest_s, loop.time() - began)
            body = await yard.get(endpoint)
            other = await yard.supervisor.ensure_running(yard.add("obedient"))
            await yard.supervisor.stop("floods-stderr", reason="test")

            assert (b"floods-stderr", 1) == (body, other.generation)
            assert longest_s < 1.0
            assert len(yard.log_text("floods-stderr")) <= 2 * 64 * 1024

    asyncio.run(scenario())

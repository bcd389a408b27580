"""What kept pip from installing, told apart; and the pinned pip itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.environment import installer
from core.model.errors import Broken, LockerError, NotFound, Offline, StorageFull
from tests.environment.checkout import ROOT

PLENTY = 10**12
LOG = Path("/checkout/.venv.log")


@pytest.mark.parametrize(
    ("lines", "begun", "free_bytes", "expected"),
    [
        (["ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."], 3, PLENTY, Broken),
        (["WARNING: Retrying (Retry(total=4)) after connection broken by 'X': /flask/"], 3, PLENTY, Offline),
        (["ERROR: Could not find a version that satisfies flask==3 (from versions: none)"], 0, PLENTY, Offline),
        (["ERROR: Could not find a version that satisfies flask==3 (from versions: none)"], 5, PLENTY, Broken),
        (["ERROR: something else"], 0, PLENTY, Broken),
        ([], 0, PLENTY, Broken),
        (["ERROR: [Errno 28] No space left on device"], 9, installer.FREE_BYTES_MIN - 1, StorageFull),
        (["ERROR: something else"], 9, installer.FREE_BYTES_MIN, Broken),
    ],
)
def test_a_failure_is_named_by_its_cure(
    lines: list[str], begun: int, free_bytes: int, expected: type[LockerError]
) -> None:
    """The class follows from what pip said, how far it came, and the room that is left."""
    fault = installer.fault_of(lines, 1, begun=begun, free_bytes=free_bytes, log=LOG, hashed=True)

    assert expected is type(fault)
    assert fault.remedy


def test_an_unknown_failure_is_shown_as_pip_said_it() -> None:
    """The last line that pip marked as an error stands in the message, and the log is named."""
    fault = installer.fault_of(
        ["ERROR: first", "noise", "ERROR: last", "notice"], 1, begun=0, free_bytes=PLENTY, log=LOG, hashed=True
    )

    assert "ERROR: last" in fault.detail
    assert str(LOG) in fault.remedy


NOWHERE = [
    "ERROR: Could not find a version that satisfies the requirement nowhere==9.9 (from versions: none)",
    "ERROR: No matching distribution found for nowhere==9.9",
]
CUT_OFF = "WARNING: Retrying (Retry(total=4)) after connection broken by 'X': /simple/nowhere/"


@pytest.mark.parametrize(
    ("lines", "hashed", "expected"),
    [(NOWHERE, False, NotFound), ([CUT_OFF, *NOWHERE], False, Offline), (NOWHERE, True, Offline)],
)
def test_a_package_that_does_not_exist_is_named(lines: list[str], hashed: bool, expected: type[LockerError]) -> None:
    """Where the source answered and a person wrote the pin, the pin is at fault; else it is the way to the source."""
    fault = installer.fault_of(lines, 1, begun=0, free_bytes=PLENTY, log=LOG, hashed=hashed)

    assert expected is type(fault)
    assert ("nowhere 9.9 does not exist" in fault.detail) == (expected is NotFound)


def test_the_pinned_pip_is_the_one_that_lies_there() -> None:
    """Name and digest in the source are those of the only wheel in config/bootstrap, and its note names it."""
    wheels = list((ROOT / "config" / "bootstrap").glob("*.whl"))

    assert [installer.WHEEL] == wheels
    assert installer.doubt_about(installer.WHEEL) is None
    assert installer.WHEEL.name in (ROOT / "config" / "bootstrap" / "README.md").read_text()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Collecting flask==3.1.3 (from -r requirements.txt (line 7))", ("flask", "3.1.3")),
        ("Collecting jaraco-classes==3.4.0 (from -r r (line 1))", ("jaraco-classes", "3.4.0")),
        ("Collecting urllib3[socks]==2.8.0 (from -r r (line 1))", ("urllib3", "2.8.0")),
        ("Processing ./wheels/types_psutil-7.2.2.20261111-py3-none-any.whl", ("types_psutil", "7.2.2.20261111")),
        ("Processing /a/b-c/typing_extensions-4.16.0-py3-none-any.whl (from x)", ("typing_extensions", "4.16.0")),
    ],
)
def test_a_beginning_package_is_recognised(line: str, expected: tuple[str, str]) -> None:
    """Name and version as pip writes them when it turns to a package, from an index or from a folder."""
    match = installer._BEGINS.match(line)

    assert match is not None
    assert expected == (match[1], match[2])


@pytest.mark.parametrize("name", ["requirements.txt", "tests/requirements.txt", "tests/bench/requirements.txt"])
def test_requirements_are_pinned_hashed_and_name_no_place(name: str) -> None:
    """Every line is a pin, a digest or a comment; no index and no address stands in it."""
    lines = (ROOT / name).read_text().splitlines()
    pins = [line for line in lines if not line.startswith((" ", "#"))]

    assert [] == [line for line in lines if re.search(r"://|--(index|extra|find|trusted)", line)]
    assert [] == [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[^ ;]+( ; .+)? \\", line)]
    assert len(pins) == len(re.findall(r"\\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", "\n".join(lines) + "\n"))


@pytest.mark.parametrize("name", ["tests/requirements.txt", "tests/bench/requirements.txt"])
def test_tests_run_against_what_is_shipped(name: str) -> None:
    """The tests' and the benches' pins hold those of the product, version for version."""
    shipped = set(re.findall(r"^([\w.-]+==[^ ;]+)", (ROOT / "requirements.txt").read_text(), flags=re.M))

    assert shipped <= set(re.findall(r"^([\w.-]+==[^ ;]+)", (ROOT / name).read_text(), flags=re.M))

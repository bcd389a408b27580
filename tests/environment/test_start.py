"""locker.py for real: first start, later starts, and every way in which one can be cut off."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.environment.checkout import ROOT, Checkout, make_wheel, pin

READY_S_MAX = 5.0
GONE_S_MAX = 2.0


def test_first_start_installs_and_enters(checkout: Checkout) -> None:
    """On a machine with nothing but Python, one start makes the environment and runs the command inside it."""
    told = checkout.told("run", "--port", "0")

    assert str(checkout.environment) == told["prefix"]
    assert ["run", "--port", "0"] == told["arguments"]
    assert "hello" == told["greeting"]
    assert [] == sorted(p.name for p in checkout.folder.glob(".venv.*") if p.name not in (".venv.lock", ".venv.log"))


def test_first_start_tells_every_package_in_plain_lines(checkout: Checkout) -> None:
    """Where no terminal listens there is one line per package with its number, and no control characters."""
    first = make_wheel(checkout.wheels, "first_one", "2.0", {"first_one.py": ""})
    second = make_wheel(checkout.wheels, "second", "3.1", {"second.py": ""})
    other_system = f"elsewhere==1.0 ; sys_platform == 'nowhere' --hash=sha256:{'0' * 64}\n"
    (checkout.folder / "requirements.txt").write_text(pin(first, second) + other_system)

    lines = checkout.start().stderr.splitlines()

    assert "[1/2] first_one 2.0" in lines
    assert "[2/2] second 3.1" in lines
    assert any(line.startswith("2 packages installed in ") for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_the_exit_code_is_the_command_s(checkout: Checkout) -> None:
    """What the command answers is what the shell sees."""
    assert 7 == checkout.start("fail").returncode


def test_second_start_needs_no_network(checkout: Checkout, record_property: pytest.RecordProperty) -> None:
    """A finished environment is entered without a word and without pip."""
    checkout.told()
    begun = time.monotonic()
    done = checkout.start(**checkout.offline())
    record_property("second_start_s", round(time.monotonic() - begun, 3))

    assert (0, "") == (done.returncode, done.stderr)
    assert time.monotonic() - begun < READY_S_MAX


def test_changed_requirements_switch(checkout: Checkout) -> None:
    """New pins make a new environment, which then stands where the old one stood; nothing is left beside it."""
    checkout.told()
    checkout.offer("2.0", "good day")
    told = checkout.told()

    assert "good day" == told["greeting"]
    assert str(checkout.environment) == told["prefix"]
    assert [] == list(checkout.folder.glob(".venv.old-*")) + list(checkout.folder.glob(".venv.new-*"))


def test_failed_change_leaves_the_old_one(checkout: Checkout) -> None:
    """When new pins cannot be installed, the environment in use is not touched, and the old pins start it again."""
    checkout.told()
    before = (checkout.folder / "requirements.txt").read_text()
    (checkout.folder / "requirements.txt").write_text(before.replace("1.0", "9.9"))
    failed = checkout.start()
    (checkout.folder / "requirements.txt").write_text(before)

    assert 10 == failed.returncode
    assert "hello" == checkout.told(**checkout.offline())["greeting"]


def test_programs_in_the_environment_run(checkout: Checkout) -> None:
    """Scripts name the environment's final place, not the one it was built in."""
    checkout.told()
    greet = subprocess.run([checkout.environment / "bin" / "greet"], text=True, capture_output=True, check=True)

    assert "hello\n" == greet.stdout


def test_any_folder_will_do(tmp_path: Path) -> None:
    """Blanks and letters beyond ASCII in the path disturb neither the start nor the programs."""
    checkout = Checkout(tmp_path / "Eigene Dateien – ö" / "locker")
    told = checkout.told(LANG="C")
    greet = subprocess.run([checkout.environment / "bin" / "greet"], text=True, capture_output=True, check=True)

    assert str(checkout.environment) == told["prefix"]
    assert "hello\n" == greet.stdout
    assert "hello" == checkout.told(**checkout.offline(), LANG="C")["greeting"]


def test_moved_checkout_starts_without_network(checkout: Checkout, tmp_path: Path) -> None:
    """A moved folder is noticed and mended in place: its programs run, and nothing is fetched."""
    checkout.told()
    (tmp_path / "elsewhere").mkdir()
    checkout.folder = checkout.folder.rename(tmp_path / "elsewhere" / "locker")
    told = checkout.told(**checkout.offline())
    greet = subprocess.run([checkout.environment / "bin" / "greet"], text=True, capture_output=True, check=True)

    assert str(checkout.environment) == told["prefix"]
    assert "hello\n" == greet.stdout
    assert str(checkout.environment) == (checkout.environment / "locker.stamp").read_text().splitlines()[0]


def test_started_by_link_from_elsewhere(checkout: Checkout, tmp_path: Path) -> None:
    """A link to locker.py uses the checkout it leads to."""
    link = tmp_path / "locker-link"
    link.symlink_to(checkout.folder / "locker.py")
    done = subprocess.run(
        [checkout.command()[0], str(link)], env=checkout.variables(), text=True, capture_output=True, check=True
    )

    assert str(checkout.environment) == json.loads(done.stdout)["prefix"]


def test_vanished_python_is_replaced(checkout: Checkout) -> None:
    """After the system's Python was removed or replaced, the environment is made anew with the one at hand."""
    checkout.told()
    for name in ("python", "python3"):
        (checkout.environment / "bin" / name).unlink(missing_ok=True)
        (checkout.environment / "bin" / name).symlink_to("/nowhere/python3")

    assert "hello" == checkout.told()["greeting"]


def test_tests_have_an_environment_of_their_own(checkout: Checkout) -> None:
    """`test` installs its own pins elsewhere and leaves what `run` uses alone."""
    checkout.told()
    before = (checkout.environment / "locker.stamp").stat().st_mtime_ns
    shutil.copy(checkout.folder / "requirements.txt", checkout.folder / "tests" / "requirements.txt")
    told = checkout.told("test", "-q")

    assert str(checkout.folder / ".venv.test") == told["prefix"]
    assert before == (checkout.environment / "locker.stamp").stat().st_mtime_ns


def test_killed_in_the_middle_is_mended(checkout: Checkout) -> None:
    """kill -9 while pip works leaves no environment; the next start sweeps the pieces and makes it."""
    process = subprocess.Popen(
        checkout.command(), env=checkout.variables(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while not list(checkout.folder.glob(".venv.new-*/bin/python")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert not checkout.environment.exists()
    told = checkout.told()

    assert "hello" == told["greeting"]
    assert [] == list(checkout.folder.glob(".venv.new-*"))


def test_pip_ends_with_a_start_that_is_killed(checkout: Checkout) -> None:
    """kill -9 while pip waits for the index: pip is gone at once, and with it the lock on the environment."""
    with socket.create_server(("127.0.0.1", 0)) as index:
        index.settimeout(30)
        process = subprocess.Popen(
            checkout.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=checkout.variables(
                PIP_NO_INDEX=None, PIP_FIND_LINKS=None, PIP_INDEX_URL=f"http://127.0.0.1:{index.getsockname()[1]}/simple"
            ),
        )  # fmt: skip
        silent, _ = index.accept()
        below = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        _, left = psutil.wait_procs(below, timeout=GONE_S_MAX)
        silent.close()
    for each in left:
        each.kill()

    assert below and not left
    assert "hello" == checkout.told()["greeting"]


def test_killed_between_the_two_renames_goes_on_without_network(checkout: Checkout) -> None:
    """A finished environment that only missed its last rename is taken as it is."""
    checkout.told()
    stamp = checkout.environment / "locker.stamp"
    checkout.environment.rename(checkout.folder / ".venv.new-1")
    (checkout.folder / ".venv.old-1").mkdir()
    assert not stamp.exists()
    told = checkout.told(**checkout.offline())

    assert "hello" == told["greeting"]
    assert [] == list(checkout.folder.glob(".venv.old-*"))


def test_foreign_environment_is_kept_aside(checkout: Checkout) -> None:
    """A .venv that Locker did not make is moved aside, told of, and not removed."""
    checkout.environment.mkdir()
    (checkout.environment / "mine.txt").write_text("mine")
    done = checkout.start()
    kept = list(checkout.folder.glob(".venv.kept-*/mine.txt"))

    assert 0 == done.returncode
    assert ["mine"] == [path.read_text() for path in kept]
    assert "was not made by Locker" in done.stderr


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_something_else_of_that_name_is_kept_aside(checkout: Checkout, kind: str) -> None:
    """A plain file or a link named .venv is moved aside, told of, and not removed."""
    if kind == "file":
        checkout.environment.write_text("mine")
    else:
        checkout.environment.symlink_to("nowhere")
    done = checkout.start()

    assert 0 == done.returncode, done.stderr
    assert "was not made by Locker; it is kept as .venv.kept-" in done.stderr
    assert 1 == len(list(checkout.folder.glob(".venv.kept-*")))
    assert "hello" == checkout.told()["greeting"]


def test_two_at_once_make_one(checkout: Checkout) -> None:
    """The second start says that it waits, and both run in the one environment."""
    both = [
        subprocess.Popen(
            checkout.command(), env=checkout.variables(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=60) for process in both]

    assert [0, 0] == [process.returncode for process in both]
    assert [str(checkout.environment)] * 2 == [json.loads(out)["prefix"] for out, _ in told]
    assert 1 == sum("waiting for it" in err for _, err in told)
    assert 1 == sum("packages installed" in err for _, err in told)


def test_stopped_by_ctrl_c_says_so(checkout: Checkout) -> None:
    """Ctrl-C during the installation ends with two plain sentences and leaves nothing behind."""
    process = subprocess.Popen(
        checkout.command(), env=checkout.variables(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Installing")
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)

    assert 130 == process.returncode
    assert "Stopped before everything was installed." in err
    assert "Traceback" not in err
    assert [] == list(checkout.folder.glob(".venv.new-*"))


def test_wrong_digest_installs_nothing(checkout: Checkout) -> None:
    """A package that is not the pinned file is refused in plain words."""
    requirements = checkout.folder / "requirements.txt"
    requirements.write_text(requirements.read_text().replace("sha256:", "sha256:0000")[:-5] + "\n")
    done = checkout.start()

    assert 10 == done.returncode
    assert "SHA-256 differs" in done.stderr
    assert "Traceback" not in done.stderr
    assert not checkout.environment.exists()


def test_no_network_says_so(checkout: Checkout) -> None:
    """Without network the first start says what is missing, and where a proxy or index would be set."""
    done = checkout.start(**checkout.offline())

    assert 10 == done.returncode
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
    assert not checkout.environment.exists()


def test_read_only_folder_says_so(checkout: Checkout) -> None:
    """A checkout in a folder of somebody else ends in words and a cure."""
    command = checkout.command()
    checkout.folder.chmod(0o555)
    if os.geteuid() == 0:
        # Root may write anywhere, so the start is made by nobody; what leads to the folder is opened for reading.
        for place in [checkout.folder, *checkout.folder.parents]:
            if not place.stat().st_mode & 0o001:
                place.chmod(place.stat().st_mode | 0o011)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", _readable_python(), command[1]]
    done = subprocess.run(command, env=checkout.variables(), text=True, capture_output=True, timeout=60, check=False)
    checkout.folder.chmod(0o755)

    assert 10 == done.returncode
    assert f"{checkout.folder} cannot be written" in done.stderr
    assert "Copy Locker into a folder of your own" in done.stderr
    assert "Traceback" not in done.stderr


def _readable_python() -> str:
    """A Python that any user may run; the one of the tests may stand in root's home."""
    for python in ("/usr/bin/python3", "/usr/local/bin/python3", sys.executable):
        asked = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        if Path(python).exists() and subprocess.run(asked, check=False).returncode == 0:
            return python
    raise AssertionError("no Python for the test")


def test_missing_wheel_falls_back_to_ensurepip(checkout: Checkout) -> None:
    """Without the pinned pip, the one that comes with Python does the work."""
    shutil.rmtree(checkout.folder / "config" / "bootstrap")
    done = checkout.start()

    assert 0 == done.returncode, done.stderr
    assert "is missing" in done.stderr


def test_altered_wheel_is_not_run(checkout: Checkout) -> None:
    """A pip with another digest is told of and left alone."""
    wheel = next((checkout.folder / "config" / "bootstrap").glob("*.whl"))
    wheel.unlink()
    wheel.write_bytes(b"not the pinned file")
    done = checkout.start()

    assert 0 == done.returncode, done.stderr
    assert "not the file that was pinned" in done.stderr


def test_no_pip_at_all_names_the_package(checkout: Checkout, tmp_path: Path) -> None:
    """Without wheel and without ensurepip, as on Debian, the exact line to type is printed."""
    shutil.rmtree(checkout.folder / "config" / "bootstrap")
    apt = tmp_path / "bin" / "apt"
    apt.parent.mkdir()
    apt.write_text("#!/bin/sh\n")
    apt.chmod(0o755)
    without = "import sys, runpy; sys.modules['ensurepip'] = None; sys.argv = sys.argv[1:]; "
    command = [checkout.command()[0], "-c", without + "runpy.run_path(sys.argv[0], run_name='__main__')"]
    done = subprocess.run(
        [*command, *checkout.command()[1:]], env=checkout.variables(PATH=f"{apt.parent}:{os.environ['PATH']}"),
        text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip

    assert 10 == done.returncode
    assert f"sudo apt install python3.{sys.version_info.minor}-venv" in done.stderr
    assert "Traceback" not in done.stderr


def test_misleading_variables_do_not_reach_the_environment(checkout: Checkout, tmp_path: Path) -> None:
    """Another interpreter's library and pip's redirections change nothing, and children do not inherit the former."""
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "greeting.py").write_text("WORDS = 'trapped'\n")
    told = checkout.told(
        PYTHONPATH=str(trap), PIP_TARGET=str(trap / "target"), PIP_USER="1", PYTHONSAFEPATH="1", VIRTUAL_ENV="/nowhere"
    )

    assert "hello" == told["greeting"]
    assert not {"PYTHONPATH", "VIRTUAL_ENV", "LOCKER_ENTERED"} & set(told["environ"])
    assert not (trap / "target").exists()


def test_the_owner_s_pip_configuration_is_respected(checkout: Checkout, tmp_path: Path) -> None:
    """Where packages come from is read from pip's own files and variables, as for any pip."""
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nno-index = true\nfind-links = {checkout.wheels}\n[install]\nuser = true\n")
    told = checkout.told(PIP_CONFIG_FILE=str(config), PIP_NO_INDEX=None, PIP_FIND_LINKS=None)

    assert "hello" == told["greeting"]


def test_token_leaves_no_trace_in_the_environment(checkout: Checkout) -> None:
    """The token arrives by a pipe: neither the variables nor what /proc shows of the process have it."""
    token = "s3cret-" + "x" * 40
    told = checkout.told("run", LOCKER_TOKEN=token)

    assert token == told["token"]
    assert token not in json.dumps(told["environ"])
    assert token not in told["first_environ"]
    assert "LOCKER_TOKEN_FD=" in told["first_environ"] or not told["first_environ"]


def test_token_is_hidden_when_already_inside(checkout: Checkout) -> None:
    """Started with the environment's own Python, the token is taken off the environment all the same."""
    checkout.told()
    token = "s3cret-" + "x" * 40
    done = checkout.start(python=str(checkout.environment / "bin" / "python"), LOCKER_TOKEN=token)
    told = json.loads(done.stdout)

    assert token == told["token"]
    assert token not in told["first_environ"]


@pytest.mark.parametrize(("length", "code"), [(4096, 0), (4097, 10)])
def test_token_has_a_longest_length(checkout: Checkout, length: int, code: int) -> None:
    """A token that would not fit a pipe is refused before anything else."""
    assert code == checkout.start(LOCKER_TOKEN="x" * length).returncode


def test_broken_environment_is_not_entered_for_ever(checkout: Checkout) -> None:
    """Where the Python that was entered turns out not to be the environment's, one sentence ends the start."""
    done = checkout.start(LOCKER_ENTERED=str(checkout.environment))

    assert 10 == done.returncode
    assert "does not hold together" in done.stderr


def test_too_old_python_gets_a_sentence(checkout: Checkout) -> None:
    """A Python below 3.11 is told so, with what to do."""
    pretend = "import sys, runpy; sys.version_info = (3, 8, 18); runpy.run_path(sys.argv[1], run_name='__main__')"
    done = subprocess.run(
        [checkout.command()[0], "-c", pretend, checkout.command()[1]], text=True, capture_output=True, check=False
    )

    assert 10 == done.returncode
    assert "Locker needs Python 3.11 or newer; this is Python 3.8.18." in done.stderr
    assert "Traceback" not in done.stderr


def test_old_pythons_can_read_locker_py() -> None:
    """The file compiles in old syntax: no annotations, f-strings, walrus or keyword-only arguments."""
    tree = ast.parse((ROOT / "locker.py").read_text(), feature_version=(3, 6))
    modern = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Nonlocal, ast.AsyncFunctionDef, ast.Await)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]

    assert [] == [node for node in ast.walk(tree) if isinstance(node, modern)]
    assert [] == [f.name for f in functions if f.returns or f.args.kwonlyargs or any(a.annotation for a in f.args.args)]

"""An environment whose packages are damaged is mended once, and what cannot be mended is told."""

from __future__ import annotations

import json

import pytest

from tests.environment.checkout import Checkout


def test_a_damaged_package_is_installed_anew(checkout: Checkout) -> None:
    """A package whose files are gone is told of; one start installs it again and goes on, its token included."""
    (checkout.folder / "core" / "cli" / "__init__.py").write_text(
        (checkout.folder / "core" / "cli" / "__init__.py").read_text() + "\nimport greeting\n"
    )
    checkout.told()
    next(checkout.environment.glob("lib/python*/site-packages/greeting.py")).unlink()
    token = "s3cret-" + "x" * 40
    done = checkout.start("run", LOCKER_TOKEN=token)
    told = json.loads(done.stdout)

    assert f"{checkout.environment} is damaged: greeting.py of greeting-1.0 is not as it was installed." in done.stderr
    assert ("hello", token, ["run"]) == (told["greeting"], told["token"], told["arguments"])
    assert "LOCKER_MENDED" not in told["environ"]
    assert token not in told["first_environ"]
    assert "" == checkout.start().stderr
    assert [] == list(checkout.folder.glob(".venv.kept-*")) + list(checkout.folder.glob(".venv.old-*"))


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_damage_that_only_a_connector_would_meet_is_mended(checkout: Checkout, harm: str) -> None:
    """No command imports it: its size tells, before the core runs; other commands do not look."""
    checkout.told()
    file = next(checkout.environment.glob("lib/python*/site-packages/greeting.py"))
    file.write_text('WORDS = "hello and more"')
    if harm == "gone":
        file.unlink()
    others = checkout.start("--me", "run", "status").stderr
    done = checkout.start("--me", "somewhere")

    assert "" == others
    assert "greeting.py of greeting-1.0 is not as it was installed. Its packages are installed anew." in done.stderr
    assert "hello" == json.loads(done.stdout)["greeting"]


def test_a_package_that_stays_away_is_installed_once(checkout: Checkout) -> None:
    """What no installation brings ends the start with words, after one try."""
    (checkout.folder / "core" / "cli" / "__init__.py").write_text("import nowhere_at_all\n")
    done = checkout.start()

    assert 10 == done.returncode
    assert 2 == done.stderr.count("Installing packages into")
    assert "cannot be used: No module named 'nowhere_at_all'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_package_without_network_says_so(checkout: Checkout) -> None:
    """Where it cannot be installed anew the start ends with what is missing, and the next one tries again."""
    (checkout.folder / "core" / "cli" / "__init__.py").write_text(
        (checkout.folder / "core" / "cli" / "__init__.py").read_text() + "\nimport greeting\n"
    )
    checkout.told()
    next(checkout.environment.glob("lib/python*/site-packages/greeting.py")).unlink()
    offline = checkout.start(**checkout.offline())

    assert 10 == offline.returncode
    assert "is damaged" in offline.stderr and "cannot be reached" in offline.stderr
    assert "hello" == checkout.told()["greeting"]


def test_a_fault_of_our_own_is_not_blamed_on_a_package(checkout: Checkout) -> None:
    """A module of this checkout that cannot be imported is a fault to be seen, and nothing is installed for it."""
    checkout.told()
    (checkout.folder / "core" / "cli" / "__init__.py").write_text("import core.nowhere\n")
    done = checkout.start()

    assert 1 == done.returncode
    assert "No module named 'core.nowhere'" in done.stderr
    assert "Installing" not in done.stderr

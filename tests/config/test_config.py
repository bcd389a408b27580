"""The configuration: four sources in order, every fault at once, and nothing that gives a secret away."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.config import CONFIG_BYTES_MAX, Config, Limits, environment_name, load_config, setting_names
from core.model.errors import ConfigInvalid

Load = Callable[..., Config]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "checkout" / "config").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    return tmp_path / "checkout"


@pytest.fixture
def load(root: Path) -> Load:
    """Load with locker.toml's text, variables and command line as given."""

    def load(
        toml: str = "", environment: dict[str, str] | None = None, config_dir: Path | None = None, **overrides: Any
    ) -> Config:
        (root / "config" / "locker.toml").write_text(toml)
        variables = {"HOME": str(root.parent / "home"), **(environment or {})}
        return load_config(root=root, config_dir=config_dir, environment=variables, overrides=overrides)

    return load


def faults_of(load: Load, *args: Any, **options: Any) -> str:
    with pytest.raises(ConfigInvalid) as caught:
        load(*args, **options)
    return str(caught.value)


def test_defaults_need_no_file(root: Path) -> None:
    """A fresh checkout has a whole configuration."""
    config = load_config(root=root, config_dir=None, environment={}, overrides={})

    assert config.me == root / "Me"
    assert config.config_dir == root / "config"
    assert config.connector_paths == (root / "connectors",)
    assert (config.port, config.host, config.spawn, config.open_browser) == (8042, "127.0.0.1", "auto", True)
    assert config.limits == Limits()
    assert config.app_keys == {}


def test_later_sources_win(load: Load) -> None:
    """The file beats the default, the environment the file, the command line all."""
    assert load("port = 1001").port == 1001
    assert load("port = 1001", {"LOCKER_PORT": "1002"}).port == 1002
    assert load("port = 1001", {"LOCKER_PORT": "1002"}, port=1003).port == 1003
    assert load("port = 1001", {"LOCKER_PORT": ""}, port=None).port == 1001


def test_sources_are_mixed_setting_by_setting(load: Load) -> None:
    """One limit in each place: all three count."""
    config = load(
        "[limits]\nsilence_s = 9", {"LOCKER_LIMITS_FIRST_BYTE_S": "1.5"}, **{"limits.waiting_requests_max": 3}
    )

    assert config.limits == dataclasses.replace(Limits(), silence_s=9.0, first_byte_s=1.5, waiting_requests_max=3)


def test_all_faults_are_reported_at_once(load: Load) -> None:
    """The owner mends everything in one go: each fault has its key and where it stands."""
    faults = faults_of(
        load,
        'port = "x"\nhsot = "a"\ntimezone = "Mars/Phobos"\n[limits]\nsilence_s = -1\nbody_bytes_max = true',
        {"LOCKER_SPAWN": "rocket", "LOCKER_PROT": "1"},
        host="0.0.0.0",
    )

    for expected in (
        "port: must be a whole number from 0 to 65535 (locker.toml)",
        "hsot: is no setting; did you mean host? (locker.toml)",
        "timezone: 'Mars/Phobos' is no time zone",
        "limits.silence_s: must be a number of seconds from 0.05 to 3600 (locker.toml)",
        'limits.body_bytes_max: must be a size from 1 KiB to 64 GiB: a number of bytes, or such as "64 MiB"',
        "LOCKER_SPAWN: must be one of auto, plain (environment)",
        "LOCKER_PROT: is no setting; did you mean LOCKER_PORT? (environment)",
        "host: must be an address of this machine alone, such as 127.0.0.1 (command line)",
    ):
        assert expected in faults


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Limits)])
def test_each_limit_has_exact_bounds(load: Load, name: str) -> None:
    """The least and the most pass; a little beyond either is a fault that names the limit."""
    meta = next(f.metadata for f in dataclasses.fields(Limits) if f.name == name)
    step = 0.001 if name.endswith("_s") else 1
    wide: dict[str, Any] = {"limits.backoff_max_s": 86_400, "limits.body_bytes_max": 64 * 1024**3}
    wide |= {"limits.backoff_first_s": 0.01, "limits.body_memory_bytes": 1024}

    for value in (meta["least"], meta["most"]):
        assert getattr(load(**{**wide, f"limits.{name}": value}).limits, name) == value
    for value in (meta["least"] - step, meta["most"] + step, "much", None.__class__):
        assert f"limits.{name}: must be" in faults_of(load, **{**wide, f"limits.{name}": value})


@pytest.mark.parametrize("setting", setting_names())
def test_each_setting_can_come_from_the_environment(load: Load, setting: str, root: Path) -> None:
    """Every setting has a variable, and a wrong value in it is reported under the variable's name."""
    (root / "elsewhere").mkdir()
    good = {
        "me": str(root / "elsewhere"),
        "port": "1024",
        "connector_paths": f"{root / 'a'}{os.pathsep}{root / 'b'}",
        "timezone": "Asia/Kolkata",
        "host": "::1",
        "host_names": "locker.home.example, box",
        "store_port": "7400",
        "store_needs_token": "false",
        "spawn": "plain",
        "open_browser": "no",
        "log_level": "DEBUG",
    } | {f"limits.{f.name}": str(getattr(Limits(), f.name) - 1 or 2) for f in dataclasses.fields(Limits)}

    config = load("", {environment_name(setting): good[setting]})

    owner, name = (config.limits, setting[7:]) if setting.startswith("limits.") else (config, setting)
    assert getattr(owner, name) != getattr(load(), setting, object())
    if setting not in ("me", "connector_paths"):
        assert f"{environment_name(setting)}: " in faults_of(load, "", {environment_name(setting): "\x01 wrong"})


@pytest.mark.parametrize(
    "name",
    ["locker.home.example", "a", "a-b.c1", "xn--bcher-kva.example", "x" * 63, f"{'a.' * 126}a"],
)
def test_plain_host_names(load: Load, name: str) -> None:
    """Letters, digits and hyphens in labels, up to the lengths that DNS allows."""
    assert (name,) == load(host_names=[name, name]).host_names


@pytest.mark.parametrize(
    "name",
    ["", "*", "*.home.example", ".home.example", "home.example.", "Locker.example", "127.0.0.1", "127.1", "0x7f.1",
     "2130706433", "::1", "[::1]", "a.1", "a.0x7f", "a..b", "-a", "a-", "a_b", "a:8042", "http://a", "a/b", "a b",
     "b\u00fccher", "a\n", "x" * 64, f"{'a.' * 126}aa", 7, None, ["a"]],
)  # fmt: skip
def test_what_is_no_plain_host_name(load: Load, name: object) -> None:
    """No address, no pattern, no port, no capital: each is a fault that shows it."""
    assert f"host_names: {name!r} is no plain host name" in faults_of(load, host_names=[name])


def test_host_names_are_bounded(load: Load) -> None:
    """Twenty pass, one more does not, and a bare text is no list."""
    names = [f"name{letter}" for letter in "abcdefghijklmnopqrstu"]

    assert tuple(names[:20]) == load(host_names=names[:20]).host_names
    assert "host_names: must be a list of at most 20" in faults_of(load, host_names=names)
    assert "host_names: must be a list of at most 20" in faults_of(load, 'host_names = "a"')


def test_sizes_with_units(load: Load) -> None:
    """A size may be written as a person says it."""
    limits = load('[limits]\nbody_bytes_max = "2 GiB"\nbody_memory_bytes = "512KiB"\ndisk_free_bytes_min = 0').limits

    assert (limits.body_bytes_max, limits.body_memory_bytes, limits.disk_free_bytes_min) == (2 * 1024**3, 512 * 1024, 0)


@pytest.mark.parametrize("size", ["2 GB", "-1 MiB", "1.5 MiB", "MiB", "9999999 GiB"])
def test_sizes_that_mean_nothing(load: Load, size: str) -> None:
    """A size in another unit or out of bounds is a fault, not a guess."""
    assert "limits.body_bytes_max" in faults_of(load, f'[limits]\nbody_bytes_max = "{size}"')


def test_each_fault_is_a_line_and_the_remedy_names_the_places(load: Load, root: Path) -> None:
    """The owner is sent to where the fault stands, and to no other place."""
    with pytest.raises(ConfigInvalid) as caught:
        load("port = -1", {"LOCKER_SPAWN": "rocket"})
    file = root / "config" / "locker.toml"

    assert 2 == len(str(caught.value).splitlines())
    assert f"the variables LOCKER_… of the environment and in {file};" in caught.value.remedy
    assert "command line" not in caught.value.remedy


@pytest.mark.parametrize(
    ("toml", "environment", "overrides", "place"),
    [
        ("", {"LOCKER_CONFIG": "/nowhere"}, {}, "environment"),
        ("port =", {}, {}, "locker.toml"),
        ("", {}, {"port": "x"}, "command line"),
        ("", {"LOCKER_LIMITS_BACKOFF_FIRST_S": "301"}, {}, "environment"),
        ("", {"LOCKER_LIMITS_BACKOFF_MAX_S": "0.5"}, {}, "environment"),
        ("[limits]\nbackoff_max_s = 0.5", {}, {}, "locker.toml"),
    ],
)
def test_the_remedy_names_the_place(
    load: Load, toml: str, environment: dict[str, str], overrides: dict[str, str], place: str
) -> None:
    """Whatever the fault is: a folder, the file's syntax, a value, or two that contradict each other."""
    with pytest.raises(ConfigInvalid) as caught:
        load(toml, environment, **overrides)

    assert place in caught.value.remedy


def test_the_remedy_names_the_file_of_app_keys(load: Load, root: Path) -> None:
    """What others may read is mended where it lies."""
    (root / "config" / "apikeys.toml").write_text("")
    (root / "config" / "apikeys.toml").chmod(0o644)
    with pytest.raises(ConfigInvalid) as caught:
        load()

    assert f"in {root / 'config' / 'apikeys.toml'};" in caught.value.remedy


def test_contradictions_are_faults(load: Load, root: Path) -> None:
    """Settings that are right by themselves and wrong together are named."""
    faults = faults_of(
        load,
        f'me = "{root.parent}"\n[limits]\nbody_bytes_max = 2000\nbody_memory_bytes = 2001\n'
        "backoff_first_s = 10\nbackoff_max_s = 9",
    )

    assert "me: " in faults
    assert "limits.body_memory_bytes: is more than limits.body_bytes_max" in faults
    assert "limits.backoff_first_s: is more than limits.backoff_max_s" in faults


def test_paths(load: Load, root: Path) -> None:
    """`~` is the HOME that was handed in; relative paths count from the checkout in the file, from here elsewhere."""
    config = load('me = "../My Data"\nconnector_paths = ["connectors", "~/mine"]')

    assert config.me == root.parent / "My Data"
    assert config.connector_paths == (root / "connectors", root.parent / "home" / "mine")
    assert load(me="here").me == Path.cwd() / "here"
    assert load("", {"LOCKER_ME": "~/Me"}).me == root.parent / "home" / "Me"
    assert "HOME is not set" in faults_of(load, 'me = "~/Me"', {"HOME": ""})


def test_own_connectors_are_found_if_they_exist(load: Load, root: Path) -> None:
    """The owner's folder outside the checkout counts from the moment it is there."""
    own = root.parent / "home" / ".config" / "locker" / "connectors"
    assert load().connector_paths == (root / "connectors",)

    own.mkdir(parents=True)

    assert load().connector_paths == (root / "connectors", own)


def test_another_config_folder(load: Load, root: Path) -> None:
    """The folder comes from the command line, else from LOCKER_CONFIG; one that is not there is a fault."""
    for name, port in (("one", 1), ("two", 2)):
        (root / name).mkdir()
        (root / name / "locker.toml").write_text(f"port = {port}")

    assert load("", {"LOCKER_CONFIG": str(root / "one")}).port == 1
    assert load("", {"LOCKER_CONFIG": str(root / "one")}, config_dir=root / "two").port == 2
    assert f"config: {root / 'three'} is no folder" in faults_of(load, config_dir=root / "three")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"port = ", "locker.toml: "),
        (b"port = 1\xff", "locker.toml: is not UTF-8 at byte 8"),
        (b"#" * (CONFIG_BYTES_MAX + 1), f"locker.toml: is larger than {CONFIG_BYTES_MAX} bytes"),
        (b"port = " + b"[" * 5000, "locker.toml: "),
        (b"limits = 3", "limits: must be a table"),
        (b"connector_paths = []", "connector_paths: must be a list"),
        (b'me = "a\\u0000b"', "me: must be a path"),
        (b"connector_paths = [1]", "connector_paths: must be a path"),
        (b"timezone = '../../etc/passwd'", "timezone: "),
        (b"timezone = 'Europe'", "timezone: "),
        (b"timezone = 3", "timezone: "),
        (b"port = 1.0", "port: "),
        (b"port = true", "port: "),
        (b"open_browser = 'no'", "open_browser: must be true or false"),
        (b"[limits]\nfirst_byte_s = nan", "limits.first_byte_s: "),
        (b"[limits]\nfirst_byte_s = inf", "limits.first_byte_s: "),
    ],
)
def test_faults_of_the_file(load: Load, root: Path, content: bytes, fault: str) -> None:
    """A file that is no TOML, too large, or holds the wrong kind of value is reported with the key."""
    (root / "config" / "locker.toml").write_bytes(content)

    with pytest.raises(ConfigInvalid) as caught:
        load_config(root=root, config_dir=None, environment={}, overrides={})

    assert fault in str(caught.value)


def test_a_file_of_exactly_the_bound_is_read(root: Path) -> None:
    """The bound itself is still allowed."""
    (root / "config" / "locker.toml").write_bytes(b"port = 7\n".ljust(CONFIG_BYTES_MAX, b"#"))

    assert load_config(root=root, config_dir=None, environment={}, overrides={}).port == 7


def test_config_is_frozen(load: Load, root: Path) -> None:
    """Nobody changes the configuration while the core runs."""
    write_app_keys(root, '[github]\nclient_id = "a"')
    config = load()

    with pytest.raises(dataclasses.FrozenInstanceError):
        config.port = 1  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.limits.silence_s = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        config.app_keys["github"]["client_id"] = "b"  # type: ignore[index]


def write_app_keys(root: Path, text: str, *, mode: int = 0o600) -> None:
    (root / "config" / "apikeys.toml").write_text(text)
    (root / "config" / "apikeys.toml").chmod(mode)


def test_app_keys_are_read_and_never_shown(load: Load, root: Path) -> None:
    """The credentials are there for the connector and in no repr."""
    write_app_keys(root, '[github]\nclient_id = "id-1"\nclient_secret = "SECRET"')

    config = load()

    assert config.app_keys["github"] == {"client_id": "id-1", "client_secret": "SECRET"}
    assert "SECRET" not in f"{config!r} {config}"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o602])
def test_app_keys_that_others_can_read(load: Load, root: Path, mode: int) -> None:
    """The fault carries the very command that mends it."""
    write_app_keys(root, '[github]\nclient_secret = "SECRET"', mode=mode)

    faults = faults_of(load)

    assert f"chmod 600 {root / 'config' / 'apikeys.toml'}" in faults
    assert "SECRET" not in faults


@pytest.mark.parametrize(
    "text",
    ['client_secret = "SECRET"', "[github]\nclient_secret = ['SECRET']", '[github]\nkey = "SECRET', "[a]\nSECRET"],
)
def test_faulty_app_keys_are_not_quoted(load: Load, root: Path, text: str) -> None:
    """A fault in the credentials is named without repeating them."""
    write_app_keys(root, text)

    faults = faults_of(load)

    assert "apikeys.toml" in faults
    assert "SECRET" not in faults


def test_the_token_is_no_setting(load: Load) -> None:
    """A token left in the environment is neither a fault nor kept."""
    config = load("", {"LOCKER_TOKEN": "t" * 40})

    assert "t" * 40 not in repr([getattr(config, f.name) for f in dataclasses.fields(Config)])


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "Nowhere/Land", "XYZ3", ""])
def test_the_machines_time_zone_is_the_default(root: Path, zone: str) -> None:
    """Days are the machine's unless the owner says otherwise; a zone that nobody knows stops nothing."""
    program = (
        "import sys; from pathlib import Path; from core.config import load_config;"
        "print(load_config(root=Path(sys.argv[1]), config_dir=None, environment={}, overrides={}).timezone)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(root)],
        env={**os.environ, "TZ": zone}, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip

    assert done.stdout.strip() in (zone, "UTC", ZoneInfo(done.stdout.strip()).key)
    assert done.stdout.strip() == zone or zone not in ("Europe/Berlin", "Asia/Kolkata")

"""What the owner decided, read once: defaults < locker.toml < LOCKER_* environment < command line.

Every fault is gathered under its key and all are reported at once. `docs/configuration.md` has a
line for each setting, and a test holds the two together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import re
import shlex
import stat
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import tzlocal

from core.model.errors import ConfigInvalid

CONFIG_FILE = "locker.toml"
APP_KEYS_FILE = "apikeys.toml"
CONFIG_BYTES_MAX = 256 * 1024
ENVIRONMENT_PREFIX = "LOCKER_"
ENVIRONMENT, COMMAND_LINE = "environment", "command line"

HOST_NAMES_MAX = 20
HOST_NAME_LENGTH_MAX = 253
KIB, MIB, GIB = 1024, 1024**2, 1024**3
# The first says where locker.toml is; the others hand the owner's token to the command line, which removes them.
_NOT_SETTINGS = frozenset({"LOCKER_CONFIG", "LOCKER_TOKEN", "LOCKER_TOKEN_FD"})
_YES, _NO = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
# Labels of letters, digits and hyphens. A last one that begins with a digit is an address, or read as one.
_HOST_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SIZE = re.compile(r"(\d{1,15})\s*(KiB|MiB|GiB)?")
_SIZE_UNITS: Mapping[str | None, int] = {None: 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}


def _limit(default: float, *, least: float, most: float) -> Any:
    return field(default=default, metadata={"least": least, "most": most})


@dataclass(frozen=True)
class Limits:
    """How long and how much; each with the least and the most that an owner may set it to."""

    first_byte_s: float = _limit(30.0, least=0.05, most=600)
    silence_s: float = _limit(60.0, least=0.05, most=3600)
    body_bytes_max: int = _limit(64 * MIB, least=KIB, most=64 * GIB)
    body_memory_bytes: int = _limit(MIB, least=KIB, most=GIB)
    spool_bytes_total_max: int = _limit(GIB, least=KIB, most=1024 * GIB)
    waiting_requests_max: int = _limit(100, least=1, most=10_000)
    stop_grace_s: float = _limit(5.0, least=0.05, most=120)
    start_deadline_s: float = _limit(15.0, least=0.1, most=600)
    idle_stop_s: float = _limit(600.0, least=0.1, most=7 * 86_400)
    backoff_first_s: float = _limit(1.0, least=0.01, most=3600)
    backoff_max_s: float = _limit(300.0, least=0.01, most=86_400)
    disk_free_bytes_min: int = _limit(GIB, least=0, most=1024 * GIB)
    event_batch_max: int = _limit(500, least=1, most=5000)
    event_batch_wait_s: float = _limit(1.0, least=0.01, most=60)


@dataclass(frozen=True)
class Config:
    """Every decision of the owner, checked; nothing here changes while the core runs."""

    me: Path
    config_dir: Path
    connector_paths: tuple[Path, ...]
    timezone: str
    port: int = 8042
    host: str = "127.0.0.1"
    host_names: tuple[str, ...] = ()
    spawn: str = "auto"
    open_browser: bool = True
    log_level: str = "info"
    store_port: int = 0
    store_needs_token: bool = True
    limits: Limits = Limits()
    app_keys: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)


def load_config(
    *, root: Path, config_dir: Path | None, environment: Mapping[str, str], overrides: Mapping[str, object]
) -> Config:
    """The configuration of the checkout `root`; raises ConfigInvalid naming every fault with its key.

    `overrides` are the command line's, by the names of locker.toml (`limits.silence_s` for a limit);
    one that is None was not given. Relative paths count from the checkout in locker.toml, from the
    working directory elsewhere.
    """
    home = Path(environment["HOME"]) if environment.get("HOME") else None
    reader = _Reader(home=home)
    folder = _config_folder(config_dir, root=root, environment=environment, reader=reader)
    given = {name: value for name, value in overrides.items() if value is not None}
    values: dict[str, Any] = {}
    for source in (
        _Source(CONFIG_FILE, root, reader.tables(folder / CONFIG_FILE)),
        _Source(ENVIRONMENT, Path.cwd(), _of_environment(environment), is_environment=True),
        _Source(COMMAND_LINE, Path.cwd(), given),
    ):
        values |= reader.settings(source)
    config = _assembled(values, root=root, folder=folder, home=home, app_keys=reader.app_keys(folder / APP_KEYS_FILE))
    contradictions = _contradictions(config, root)
    if reader.faults or contradictions:
        settings = [setting for between in contradictions.values() for setting in between]
        at_fault = reader.at_fault | {reader.origin[setting] for setting in settings if setting in reader.origin}
        raise ConfigInvalid("\n".join([*reader.faults, *contradictions]), remedy=_remedy(at_fault, folder))
    return config


def setting_names() -> tuple[str, ...]:
    """Every setting's name as it stands in locker.toml, limits as `limits.<name>`."""
    return tuple(_CHECKS)


def environment_name(setting: str) -> str:
    """The variable that carries `setting`: `LOCKER_LIMITS_SILENCE_S` for `limits.silence_s`."""
    return ENVIRONMENT_PREFIX + setting.replace(".", "_").upper()


@dataclass(frozen=True)
class _Source:
    """One place that settings come from; relative paths in it count from `base`."""

    name: str
    base: Path
    settings: Mapping[str, Any]
    is_environment: bool = False


class _Reader:
    """Checks settings one by one and gathers what is wrong with them."""

    def __init__(self, *, home: Path | None) -> None:
        self.home = home
        self.faults: list[str] = []
        self.at_fault: set[str] = set()
        self.origin: dict[str, str] = {}

    def blame(self, source: str, fault: str) -> None:
        """Note one fault and the source that it stands in."""
        self.faults.append(fault)
        self.at_fault.add(source)

    def settings(self, source: _Source) -> dict[str, Any]:
        """The checked values of `source`; a faulty one is left out and noted."""
        names = {environment_name(name): name for name in _CHECKS} if source.is_environment else {n: n for n in _CHECKS}
        checked = {}
        for given, value in source.settings.items():
            if given not in names:
                self.blame(source.name, f"{given}: is no setting{_nearest(given, names)} ({source.name})")
                continue
            typed = _typed(names[given], value) if source.is_environment else value
            try:
                checked[names[given]] = _CHECKS[names[given]](typed, source.base, self.home)
            except ValueError as err:
                self.blame(source.name, f"{given}: {err} ({source.name})")
        self.origin |= dict.fromkeys(checked, source.name)
        return checked

    def tables(self, path: Path) -> dict[str, Any]:
        """What locker.toml sets, flat; nothing when there is no such file."""
        document = self._toml(path)
        limits = document.pop("limits", {})
        if not isinstance(limits, dict):
            self.blame(path.name, f"limits: must be a table ({path.name})")
            limits = {}
        return document | {f"limits.{name}": value for name, value in limits.items()}

    def app_keys(self, path: Path) -> Mapping[str, Mapping[str, str]]:
        """The owner's app credentials by connector. No fault quotes a value."""
        keys: dict[str, Mapping[str, str]] = {}
        with contextlib.suppress(OSError):  # Whatever keeps it from being looked at, reading it reports.
            if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
                self.blame(path.name, f"{path.name}: others may read it; run: chmod 600 {shlex.quote(str(path))}")
                return keys
        for name, table in self._toml(path).items():
            if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
                self.blame(path.name, f"{name}: must be a table of texts ({path.name})")
                continue
            keys[name] = MappingProxyType(table)
        return MappingProxyType(keys)

    def _toml(self, path: Path) -> dict[str, Any]:
        try:
            with path.open("rb") as file:
                content = file.read(CONFIG_BYTES_MAX + 1)
            if len(content) > CONFIG_BYTES_MAX:
                raise ValueError(f"is larger than {CONFIG_BYTES_MAX} bytes")
            return tomllib.loads(content.decode("utf-8"))
        except FileNotFoundError:
            return {}
        except UnicodeDecodeError as err:
            self.blame(path.name, f"{path.name}: is not UTF-8 at byte {err.start}")
        except OSError as err:
            self.blame(path.name, f"{path.name}: cannot be read: {err.strerror}")
        except (ValueError, RecursionError) as err:
            self.blame(path.name, f"{path.name}: {err}")
        return {}


def _config_folder(given: Path | None, *, root: Path, environment: Mapping[str, str], reader: _Reader) -> Path:
    text = environment.get("LOCKER_CONFIG", "")
    if given is None and not text:
        return root / "config"
    with contextlib.suppress(ValueError):
        folder = given or _absolute(text, base=Path.cwd(), home=reader.home)
        if folder.is_dir():
            return folder.absolute()
    source = COMMAND_LINE if given is not None else ENVIRONMENT
    reader.blame(source, f"config: {given or text} is no folder ({source})")
    return root / "config"


def _of_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith(ENVIRONMENT_PREFIX) and name not in _NOT_SETTINGS and value
    }


def _typed(name: str, text: str) -> Any:
    """What a variable's text means: there all is text, in TOML a number is a number."""
    if name == "connector_paths":
        return [part for part in text.split(os.pathsep) if part]
    if name == "host_names":
        return [part.strip() for part in text.split(",") if part.strip()]
    if name in ("open_browser", "store_needs_token"):
        return True if text.lower() in _YES else False if text.lower() in _NO else text
    if name in ("port", "store_port") or name.startswith("limits."):
        for number in (int, float):
            with contextlib.suppress(ValueError):
                return number(text)
    return text


def _assembled(
    values: Mapping[str, Any], *, root: Path, folder: Path, home: Path | None, app_keys: Mapping[str, Mapping[str, str]]
) -> Config:
    limits = {name.removeprefix("limits."): value for name, value in values.items() if name.startswith("limits.")}
    chosen = {name: value for name, value in values.items() if not name.startswith("limits.")}
    chosen.setdefault("me", root / "Me")
    chosen.setdefault("connector_paths", _default_connector_paths(root, home))
    chosen.setdefault("timezone", _machine_timezone())
    return Config(config_dir=folder, limits=Limits(**limits), app_keys=app_keys, **chosen)


def _default_connector_paths(root: Path, home: Path | None) -> tuple[Path, ...]:
    own = None if home is None else home / ".config" / "locker" / "connectors"
    return (root / "connectors", own) if own is not None and own.is_dir() else (root / "connectors",)


def _machine_timezone() -> str:
    """The machine's own zone; UTC where it has none that can be named."""
    try:
        return _zone(tzlocal.get_localzone_name(), Path(), None)
    except (ValueError, LookupError, OSError):
        return "UTC"


def _contradictions(config: Config, root: Path) -> dict[str, tuple[str, ...]]:
    """What is right by itself and wrong together, each with the settings between which it is wrong."""
    faults: dict[str, tuple[str, ...]] = {}
    if root.is_relative_to(config.me) or config.config_dir.is_relative_to(config.me):
        faults[f"me: {config.me} holds Locker itself or its configuration, which children must not reach"] = ("me",)
    for less, more in (("body_memory_bytes", "body_bytes_max"), ("backoff_first_s", "backoff_max_s")):
        if getattr(config.limits, less) > getattr(config.limits, more):
            faults[f"limits.{less}: is more than limits.{more}"] = (f"limits.{less}", f"limits.{more}")
    return faults


def _remedy(at_fault: Collection[str], folder: Path) -> str:
    """Where to mend: each place that a fault was found in, by its name."""
    places = {
        COMMAND_LINE: "on the command line",
        ENVIRONMENT: f"among the variables {ENVIRONMENT_PREFIX}… of the environment",
        CONFIG_FILE: f"in {folder / CONFIG_FILE}",
        APP_KEYS_FILE: f"in {folder / APP_KEYS_FILE}",
    }
    named = [words for source, words in places.items() if source in at_fault]
    where = f" {' and '.join(named)}" if named else ""
    return f"Correct what is named{where}; docs/configuration.md lists every setting."


def _nearest(given: str, names: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(given, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""


# A check returns the value as the Config holds it, or raises ValueError with what it must be.
_Check = Callable[[Any, Path, Path | None], Any]


def _absolute(text: str, *, base: Path, home: Path | None) -> Path:
    if text == "~" or text.startswith("~/"):
        if home is None:
            raise ValueError("~ cannot be used: HOME is not set")
        text = str(home) + text[1:]
    return Path(os.path.normpath(base / text))


def _path(value: Any, base: Path, home: Path | None) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError("must be a path")
    return _absolute(str(value), base=base, home=home)


def _paths(value: Any, base: Path, home: Path | None) -> tuple[Path, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("must be a list of at least one path")
    return tuple(_path(item, base, home) for item in value)


def _zone(value: Any, _base: Path, _home: Path | None) -> str:
    if value != "UTC":
        try:
            ZoneInfo(value)
        except (TypeError, ValueError, LookupError, OSError) as err:
            raise ValueError(f"{value!r} is no time zone; write one such as Europe/Berlin") from err
    return str(value)


def _loopback(value: Any, _base: Path, _home: Path | None) -> str:
    try:
        is_loopback = isinstance(value, str) and ip_address(value).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError("must be an address of this machine alone, such as 127.0.0.1")
    return str(value)


def _host_names(value: Any, _base: Path, _home: Path | None) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or len(value) > HOST_NAMES_MAX:
        raise ValueError(f"must be a list of at most {HOST_NAMES_MAX} host names")
    for name in value:
        is_plain = isinstance(name, str) and len(name) <= HOST_NAME_LENGTH_MAX and _HOST_NAME.fullmatch(name)
        if not is_plain:
            raise ValueError(f"{name!r} is no plain host name in lower case, such as locker.home.example")
    return tuple(dict.fromkeys(value))


def _flag(value: Any, _base: Path, _home: Path | None) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _choice(choices: tuple[str, ...]) -> _Check:
    def check(value: Any, _base: Path, _home: Path | None) -> str:
        if not isinstance(value, str) or value.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value.lower()

    return check


def _whole(least: float, most: float) -> _Check:
    def check(value: Any, _base: Path, _home: Path | None) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least:.0f} to {most:.0f}")
        return value

    return check


def _size(least: float, most: float) -> _Check:
    check_whole = _whole(least, most)

    def check(value: Any, base: Path, home: Path | None) -> int:
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        try:
            return int(check_whole(int(match[1]) * _SIZE_UNITS[match[2]] if match else value, base, home))
        except ValueError as err:
            raise ValueError(
                f'must be a size from {_in_units(least)} to {_in_units(most)}: a number of bytes, or such as "64 MiB"'
            ) from err

    return check


def _in_units(size: float) -> str:
    unit = next((unit for unit in ("GiB", "MiB", "KiB") if size and size % _SIZE_UNITS[unit] == 0), None)
    return f"{size / _SIZE_UNITS[unit]:.0f} {unit or 'bytes'}"


def _seconds(least: float, most: float) -> _Check:
    def check(value: Any, _base: Path, _home: Path | None) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}")
        return float(value)

    return check


def _limit_checks() -> dict[str, _Check]:
    checks = {}
    for limit in dataclasses.fields(Limits):
        kind = _seconds if limit.name.endswith("_s") else _size if "bytes" in limit.name else _whole
        checks[f"limits.{limit.name}"] = kind(limit.metadata["least"], limit.metadata["most"])
    return checks


_CHECKS: Mapping[str, _Check] = {
    "me": _path,
    "port": _whole(0, 65535),
    "host": _loopback,
    "host_names": _host_names,
    "connector_paths": _paths,
    "timezone": _zone,
    "spawn": _choice(("auto", "plain")),
    "open_browser": _flag,
    "log_level": _choice(("debug", "info", "warning", "error")),
    "store_port": _whole(0, 65535),
    "store_needs_token": _flag,
    **_limit_checks(),
}

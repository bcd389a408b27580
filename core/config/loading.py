"""What the owner decided, read once: defaults < locker.toml < LOCKER_* environment < command line.

Every fault is gathered under its key and all are reported at once. `docs/configuration.md` has a
line for each setting, and a test holds the two together.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import shlex
import stat
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tzlocal

from core.config.checks import CHECKS, ENVIRONMENT_PREFIX, absolute, environment_name, read_variable, time_zone
from core.config.decisions import Config, Limits
from core.model.errors import ConfigInvalid

CONFIG_FILE = "locker.toml"
APP_KEYS_FILE = "apikeys.toml"
CONFIG_BYTES_MAX = 256 * 1024
ENVIRONMENT, COMMAND_LINE = "environment", "command line"

# The first says where locker.toml is; the others hand the owner's token to the command line, which removes them.
_NOT_SETTINGS = frozenset({"LOCKER_CONFIG", "LOCKER_TOKEN", "LOCKER_TOKEN_FD"})


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
        names = {environment_name(name): name for name in CHECKS} if source.is_environment else {n: n for n in CHECKS}
        checked = {}
        for given, value in source.settings.items():
            if given not in names:
                self.blame(source.name, f"{given}: is no setting{_nearest(given, names)} ({source.name})")
                continue
            meant = read_variable(names[given], value) if source.is_environment else value
            try:
                checked[names[given]] = CHECKS[names[given]](meant, source.base, self.home)
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
        folder = given or absolute(text, base=Path.cwd(), home=reader.home)
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
        return time_zone(tzlocal.get_localzone_name())
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

"""What each setting may be, and how it is written."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from core.config.decisions import GIB, KIB, MIB, Limits

ENVIRONMENT_PREFIX = "LOCKER_"
HOST_NAMES_MAX = 20
HOST_NAME_LENGTH_MAX = 253

_YES, _NO = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
# Labels of letters, digits and hyphens. A last one that begins with a digit is an address, or read as one.
_HOST_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SIZE = re.compile(r"(\d{1,15})\s*(KiB|MiB|GiB)?")
_SIZE_UNITS: Mapping[str | None, int] = {None: 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}

# A check of a value, the folder that relative paths count from, and the one that `~` stands for: it returns the value
# as the Config holds it, or raises ValueError with what it must be.
Check = Callable[[Any, Path, Path | None], Any]


def setting_names() -> tuple[str, ...]:
    """Every setting's name as it stands in locker.toml, limits as `limits.<name>`."""
    return tuple(CHECKS)


def environment_name(setting: str) -> str:
    """The variable that carries `setting`: `LOCKER_LIMITS_SILENCE_S` for `limits.silence_s`."""
    return ENVIRONMENT_PREFIX + setting.replace(".", "_").upper()


def read_variable(name: str, text: str) -> Any:
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


def absolute(text: str, *, base: Path, home: Path | None) -> Path:
    """The path that `text` writes, counted from `base`; raises ValueError where `~` stands for nothing."""
    if text == "~" or text.startswith("~/"):
        if home is None:
            raise ValueError("~ cannot be used: HOME is not set")
        text = str(home) + text[1:]
    return Path(os.path.normpath(base / text))


def _path(value: Any, base: Path, home: Path | None) -> Path:
    if not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value):
        raise ValueError("must be a path")
    return absolute(str(value), base=base, home=home)


def _paths(value: Any, base: Path, home: Path | None) -> tuple[Path, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("must be a list of at least one path")
    return tuple(_path(item, base, home) for item in value)


def time_zone(value: Any) -> str:
    """`value` where it is the name of a time zone that this machine knows, or UTC; raises ValueError."""
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


def _choice(choices: tuple[str, ...]) -> Check:
    def check(value: Any, _base: Path, _home: Path | None) -> str:
        if not isinstance(value, str) or value.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value.lower()

    return check


def _whole(least: float, most: float) -> Check:
    def check(value: Any, _base: Path, _home: Path | None) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least:.0f} to {most:.0f}")
        return value

    return check


def _size(least: float, most: float) -> Check:
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


def _seconds(least: float, most: float) -> Check:
    def check(value: Any, _base: Path, _home: Path | None) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}")
        return float(value)

    return check


def _limit_checks() -> dict[str, Check]:
    checks = {}
    for limit in dataclasses.fields(Limits):
        kind = _seconds if limit.name.endswith("_s") else _size if "bytes" in limit.name else _whole
        checks[f"limits.{limit.name}"] = kind(limit.metadata["least"], limit.metadata["most"])
    return checks


CHECKS: Mapping[str, Check] = {
    "me": _path,
    "port": _whole(0, 65535),
    "host": _loopback,
    "host_names": _host_names,
    "connector_paths": _paths,
    "timezone": lambda value, _base, _home: time_zone(value),
    "spawn": _choice(("auto", "plain")),
    "open_browser": _flag,
    "log_level": _choice(("debug", "info", "warning", "error")),
    "store_port": _whole(0, 65535),
    "store_needs_token": _flag,
    **_limit_checks(),
}

"""One table of connector.toml as it is read: key by key, with every fault gathered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class ManifestTable:
    """A table of connector.toml: its keys are taken one by one, and every fault is noted under its full name.

    A key that is not there, or whose value is wrong, is answered by its default.
    """

    def __init__(self, table: dict[str, Any], prefix: str = "", faults: list[str] | None = None) -> None:
        self._left = dict(table)
        self.prefix = prefix
        self.faults: list[str] = [] if faults is None else faults

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def fault(self, key: str, what: str) -> None:
        """Note what is wrong with a key, or with the table itself where `key` is empty."""
        name = ".".join(part for part in (self.prefix, key) if part)
        self.faults.append(f"{name}: {what}")

    def take(self, key: str, default: Any) -> Any:
        """The value as it stands."""
        return self._left.pop(key, default)

    def text(self, key: str, *, default: str = "", required: bool = False) -> str:
        """A text; `required` makes it a fault where it is missing or blank."""
        value = self.take(key, None)
        if value is None:
            if required:
                self.fault(key, "is missing")
            return default
        if not isinstance(value, str) or (required and not value.strip()):
            self.fault(key, "must be text")
            return default
        return value

    def texts(
        self, key: str, *, default: tuple[str, ...] = (), check: Callable[[str], bool] | None = None
    ) -> tuple[str, ...]:
        """A list of texts, or one text alone; each must pass `check`."""
        value = self.take(key, None)
        if value is None:
            return default
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fault(key, "must be a list of texts")
            return default
        for item in value:
            if check is not None and not check(item):
                self.fault(key, f"{item!r} is not allowed here")
        return tuple(value)

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """One of the choices; the first is the default."""
        value = self.text(key, default=choices[0])
        if value not in choices:
            self.fault(key, f"{value!r} is none of {', '.join(choices)}")
            return choices[0]
        return value

    def number(self, key: str, default: float, *, least: float, most: float) -> float:
        """A number within its bounds."""
        value = self.take(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            self.fault(key, f"must be a number from {least:g} to {most:g}")
            return default
        return float(value)

    def flag(self, key: str) -> bool:
        """True or false; false by default."""
        value = self.take(key, False)
        if not isinstance(value, bool):
            self.fault(key, "must be true or false")
            return False
        return value

    def table(self, key: str) -> ManifestTable:
        """The table under the key, empty where there is none; its faults are noted with these."""
        value = self.take(key, {})
        if not isinstance(value, dict):
            self.fault(key, "must be a table")
            value = {}
        return ManifestTable(value, ".".join(part for part in (self.prefix, key) if part), self.faults)

    def tables(self, key: str) -> list[tuple[str, ManifestTable]]:
        """The tables under the key, each with its name."""
        outer = self.table(key)
        return [(name, outer.table(name)) for name in list(outer._left)]

    def rest(self) -> dict[str, Any]:
        """Everything not yet taken, as it stands."""
        left, self._left = self._left, {}
        return left

    def finish(self) -> None:
        """Name every key that nobody took."""
        for key in self._left:
            self.fault(key, "is not a key of connector.toml")

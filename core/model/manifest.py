"""connector.toml: what a connector says of itself, parsed once into something that cannot be wrong."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

import msgspec

from core.model.errors import ManifestInvalid
from core.model.ids import ID_RULE, TYPE_NAME, is_service_id, proposed_id
from core.model.manifest_table import ManifestTable

MANIFEST_FILE = "connector.toml"
MANIFEST_BYTES_MAX = 256 * 1024
COMMON_FIELDS = frozenset({"title", "text", "at", "people", "place", "link", "author", "summary", "thumbnail"})
FREQUENCY_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

_FREQUENCY = re.compile(r"(\d{1,6})\s*([smhdw])")
_PATH = re.compile(r"/[A-Za-z0-9_./~-]{0,200}")
_ACCEPT = re.compile(r"[A-Za-z0-9.,/*+ -]{1,200}")
# Older SQLite, as 3.40, looks for a name with one of these as JSON writes it, and finds nothing there.
_UNINDEXABLE = re.compile(r'["\x00-\x1f]')
# Signing in by these is served by a later version, which says what else stands in their table.
_AUTH_KEPT_FREE = ("oauth2", "oauth1", "device")


class TypeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How records of one type are read: paths into `value`, dotted, as the connector declares them."""

    name: str
    key: str = "id"
    time: str | None = None
    title: str | None = None
    text: tuple[str, ...] = ()
    index: tuple[str, ...] = ()
    volatile: tuple[str, ...] = ()
    common: Mapping[str, str] = {}


def is_indexable(path: str) -> bool:
    """Whether an index over the path is the same to every SQLite that may open the store's file."""
    return _UNINDEXABLE.search(path) is None


def spec_of(types: Mapping[str, TypeSpec], name: str) -> TypeSpec:
    """How records of the type `name` are read; one that nobody declares has no paths of its own."""
    return types.get(name) or TypeSpec(name=name)


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a connector pulls; `frequency_s` is how often a run is due."""

    name: str
    title: str
    types: tuple[str, ...]
    frequency_s: int = 3600


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the connector asks of its process; times in seconds, memory in bytes.

    `reads` are extra folders the sandbox opens for reading: absolute, or `{"setting": "<name>"}`.
    """

    start_timeout_s: float = 15.0
    idle_stop_s: float = 600.0
    resident: bool = False
    memory_bytes: int = 512 * 1024 * 1024
    files_bytes: int = 10 * 1024 * 1024 * 1024
    reads: tuple[str | Mapping[str, str], ...] = ()
    hosts: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A connector as its folder describes it. `run` is the command split into words; `folder` its absolute path."""

    name: str
    title: str
    folder: str
    description: str = ""
    kind: str = "connector"
    version: str = "0"
    provides: tuple[str, ...] = ()
    run: tuple[str, ...] = ("python", "connector.py")
    requires: tuple[str, ...] = ()
    writer: str = "child"
    types: Mapping[str, TypeSpec] = {}
    streams: Mapping[str, StreamSpec] = {}
    settings: Mapping[str, Any] = {}
    auth_kind: str = "none"
    events: Mapping[str, str] = {}
    uses: tuple[str, ...] = ()
    doors: tuple[str, ...] = ()
    features: Mapping[str, Any] = {}
    points: Mapping[str, Any] = {}
    limits: Limits = Limits()

    @property
    def path(self) -> str:
        """The file that says all this."""
        return str(PurePath(self.folder, MANIFEST_FILE))

    @property
    def is_python(self) -> bool:
        """Whether `run` is a Python script, so that a warm parent may fork it."""
        return len(self.run) >= 2 and self.run[0] in ("python", "python3") and self.run[1].endswith(".py")

    def network_of(self, type_name: str) -> str:
        """The network in the IDR of a record: from `contact/github` in provides, else the connector's name."""
        for provided in self.provides:
            primary, _, network = provided.partition("/")
            if primary == type_name and network:
                return network
        return self.name


def parse_manifest(
    text: str, folder: str, *, further: Callable[[Manifest], Iterable[str]] = lambda _manifest: ()
) -> Manifest:
    """The manifest in `text`; raises ManifestInvalid listing every fault, each with its key.

    `further` tells what else is wrong with it, so that its author learns everything at once; where there are faults
    already, it is shown the manifest as far as it could be read.
    """
    try:
        top = ManifestTable(tomllib.loads(text))
        manifest = _read(top, folder)
        faults = (*top.faults, *further(manifest))
    except tomllib.TOMLDecodeError as err:
        raise ManifestInvalid(
            f"{folder}/connector.toml is not TOML: {err}", faults=(f"connector.toml: is not TOML: {err}",)
        ) from err
    except (ValueError, RecursionError) as err:  # A number of thousands of digits, brackets within brackets.
        fault = "connector.toml: holds a value that is too large or too deep"
        raise ManifestInvalid(f"{folder}/connector.toml: {fault}", faults=(fault,)) from err
    if faults:
        raise ManifestInvalid(f"{folder}/connector.toml: " + "; ".join(faults), faults=faults)
    return manifest


def _read(top: ManifestTable, folder: str) -> Manifest:
    name = top.text("name", required=True)
    if name and not is_service_id(name):
        proposed = proposed_id(name)
        example = f", for example {proposed!r}" if proposed else ""
        top.fault("name", f"must be {ID_RULE}, and no reserved word{example}")
    types = {n: _type(n, table) for n, table in top.tables("types")}
    manifest = Manifest(
        name=name,
        title=top.text("title", required=True),
        folder=folder,
        description=top.text("description"),
        kind=top.choice("is", ("connector", "collection")),
        version=top.text("version", default="0"),
        provides=top.texts("provides", check=_is_provided),
        run=_run(top),
        requires=top.texts("requires"),
        writer=top.choice("writer", ("child", "core")),
        types=types,
        streams={n: _stream(n, table, types) for n, table in top.tables("streams")},
        settings=_settings(top),
        auth_kind=_auth(top),
        events=_events(top),
        uses=top.texts("uses", check=_is_provided),
        doors=_doors(top),
        features=_features(top.table("features")),
        points=top.table("points").rest(),
        limits=_limits(top.table("limits")),
    )
    top.finish()
    return manifest


def _type(name: str, table: ManifestTable) -> TypeSpec:
    if not TYPE_NAME.fullmatch(name):
        table.fault("", "a type's name is lower case letters, digits and _, beginning with a letter")
    common = table.table("common").rest()
    for field, path in common.items():
        if field not in COMMON_FIELDS:
            table.fault(f"common.{field}", f"is no shared field; there are {', '.join(sorted(COMMON_FIELDS))}")
        if not isinstance(path, str):
            table.fault(f"common.{field}", "must be a dotted path as text")
    spec = TypeSpec(
        name=name,
        key=table.text("key", default="id"),
        time=table.text("time") or None,
        title=table.text("title") or None,
        text=table.texts("text"),
        index=table.texts("index", check=is_indexable),
        volatile=table.texts("volatile"),
        common={str(k): str(v) for k, v in common.items()},
    )
    table.finish()
    return spec


def _stream(name: str, table: ManifestTable, types: Mapping[str, TypeSpec]) -> StreamSpec:
    if not TYPE_NAME.fullmatch(name):
        table.fault("", "a stream's name is lower case letters, digits and _, beginning with a letter")
    names = table.texts("types", default=(name,))
    for unknown in [n for n in names if n not in types]:
        table.fault("types", f"{unknown!r} is not declared under [types]")
    frequency = table.text("frequency", default="1h")
    spec = StreamSpec(
        name=name, title=table.text("title", default=name), types=names, frequency_s=_frequency_s(frequency, table)
    )
    table.finish()
    return spec


def _frequency_s(text: str, table: ManifestTable) -> int:
    match = _FREQUENCY.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        table.fault("frequency", f"{text!r} is not a number and one of s m h d w, such as 30m")
        return 3600
    return int(match[1]) * FREQUENCY_UNITS_S[match[2]]


def _run(top: ManifestTable) -> tuple[str, ...]:
    text = top.text("run", default="python connector.py")
    try:
        words = tuple(shlex.split(text))
    except ValueError as err:
        top.fault("run", f"cannot be split into words: {err}")
        return ("python", "connector.py")
    if not words:
        top.fault("run", "must name a command")
    return words


def _settings(top: ManifestTable) -> Mapping[str, Any]:
    table = top.table("settings")
    settings = table.rest()
    for name, schema in settings.items():
        if not isinstance(schema, dict) or "type" not in schema:
            table.fault(name, "must be a table with at least a type")
            continue
        if schema["type"] not in ("string", "integer", "number", "boolean", "array", "object"):
            table.fault(f"{name}.type", f"{schema['type']!r} is not a JSON schema type")
    return settings


def _auth(top: ManifestTable) -> str:
    table = top.table("auth")
    kind = table.choice("kind", ("none", "token", "password", *_AUTH_KEPT_FREE))
    if kind in _AUTH_KEPT_FREE:
        table.rest()
    table.finish()
    return kind


def _features(table: ManifestTable) -> Mapping[str, Any]:
    found = {name: _feature(name, table.table(name)) for name in ("import", "export") if name in table}
    return {**found, **table.rest()}


def _feature(name: str, table: ManifestTable) -> Mapping[str, str]:
    feature = {"path": table.text("path", required=True), "title": table.text("title", required=True)}
    path = feature["path"]
    if path and (path == "/" or ".." in path or not _PATH.fullmatch(path)):
        table.fault("path", "must be a path of the service's own that begins with /, such as /opml")
    if name == "import" and (accept := table.text("accept")):
        if not _ACCEPT.fullmatch(accept):
            table.fault("accept", "must be endings of files by commas, such as .opml,.xml")
        feature["accept"] = accept
    table.finish()
    return feature


def _events(top: ManifestTable) -> Mapping[str, str]:
    table = top.table("events")
    events = table.rest()
    for kind, path in events.items():
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            table.fault(kind, "must be a callback path that begins with /")
    return {str(k): str(v) for k, v in events.items()}


def _doors(top: ManifestTable) -> tuple[str, ...]:
    table = top.table("doors")
    paths = table.texts("paths", check=lambda path: _PATH.fullmatch(path) is not None and ".." not in path)
    table.finish()
    return paths


def _limits(table: ManifestTable) -> Limits:
    reads = table.take("reads", [])
    if not isinstance(reads, list) or not all(_is_folder(item) for item in reads):
        table.fault("reads", 'must be a list of absolute folders or of {setting = "name"}')
        reads = []
    limits = Limits(
        start_timeout_s=table.number("start_timeout_s", 15.0, least=0.1, most=600),
        idle_stop_s=table.number("idle_stop_s", 600.0, least=1, most=7 * 86400),
        resident=table.flag("resident"),
        memory_bytes=int(table.number("memory_mb", 512, least=32, most=65536) * 1024 * 1024),
        files_bytes=int(table.number("files_mb", 10240, least=1, most=2**30) * 1024 * 1024),
        reads=tuple(reads),
        hosts=table.texts("hosts"),
    )
    table.finish()
    return limits


def _is_folder(item: Any) -> bool:
    if isinstance(item, str):
        return item.startswith(("/", "~/"))
    return isinstance(item, dict) and set(item) == {"setting"} and isinstance(item["setting"], str)


def _is_provided(text: str) -> bool:
    primary, slash, network = text.partition("/")
    return TYPE_NAME.fullmatch(primary) is not None and (not slash or is_service_id(network))

"""The stores of some services, or of all, as one archive of files that anybody can read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from core.backup.archive import add_json
from core.backup.packing import form_of, packed, scratch
from core.model.clock import Clock
from core.model.errors import FileDamaged, FormatTooNew, TooBusy
from core.model.fact import JsonObject
from core.model.manifest import Manifest, TypeSpec
from core.registry import Service
from core.store import Export, Exported, Forms, Reader

FORMAT = 1
HEADER = "export.json"

OnStep = Callable[[str], None]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One store to be exported: under which id, what its types are declared to be, and what else is known of it."""

    id: str
    reads: Reader
    types: dict[str, TypeSpec]
    schema: JsonObject


class Failed(msgspec.Struct, frozen=True):
    """A store that could not be exported whole, and why."""

    service: str
    reason: str


class ExportDone(msgspec.Struct, frozen=True, kw_only=True):
    """What an export holds."""

    path: str
    services: tuple[Exported, ...]
    failed: tuple[Failed, ...] = ()


def schema_of(service: Service | None, manifest: Manifest | None) -> JsonObject:
    """What is declared of a service's data: its types and its connector; never a setting."""
    known: JsonObject = {"types": {}}
    if service is not None:
        known["service"] = {"id": service.id, "title": service.title, "connector": service.connector}
    if manifest is not None:
        known["types"] = {name: msgspec.to_builtins(spec) for name, spec in manifest.types.items()}
        known["connector"] = {
            "name": manifest.name,
            "title": manifest.title,
            "version": manifest.version,
            "description": manifest.description,
            "provides": list(manifest.provides),
            "streams": {name: msgspec.to_builtins(stream) for name, stream in manifest.streams.items()},
        }
    return known


def export(
    target: Path,
    sources: Sequence[Source],
    *,
    forms: Forms,
    clock: Clock,
    version: str,
    on_step: OnStep = lambda _step: None,
) -> ExportDone:
    """Export these stores to `target`: a `.tar`, `.tar.gz` or `.zip`, or a folder, whole and read back.

    A store that cannot be read is named among those that failed, the others go on.
    """
    now = clock.now()
    done: list[Exported] = []
    failed: list[Failed] = []
    with scratch(target) as beside, packed(target, beside, form=form_of(target)) as sink:
        services = [source.id for source in sources]
        header = {"format": FORMAT, "exported_at": now, "locker": version, "services": services}
        add_json(sink, HEADER, header)
        for source in sources:
            on_step(source.id)
            try:
                making = Export(
                    source.reads, sink, service=source.id, scratch=beside, now=now, schema=source.schema
                )  # fmt: skip
                done.append(making.run(forms, source.types))
            except (FileDamaged, FormatTooNew, TooBusy) as err:
                failed.append(Failed(source.id, err.detail))
        on_step("reading it back")
    return ExportDone(path=str(target), services=tuple(done), failed=tuple(failed))

"""The installed services: made, set up, switched on and off, taken away. Any thread may ask.

What a person decided is in Me/locker.json, secrets are sealed in the service's own folder, and the
child gets a copy of the record in me.json, which is never read here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from core.model.clock import Clock
from core.model.errors import (
    BadRequest,
    Conflict,
    FileDamaged,
    FolderUnusable,
    KeyMissing,
    LockerError,
    NotFound,
    SettingsInvalid,
)
from core.model.ids import uuid7
from core.model.manifest import Manifest
from core.registry.catalog import Catalog
from core.registry.environments import Environments, OnLine
from core.registry.folders import SEALED_FILE, make_folder, write_record
from core.registry.naming import ID_CHARS_MAX, TITLE_CHARS_MAX, Naming, checked_title
from core.registry.reads import Reads
from core.registry.records import ServiceRecords, State
from core.registry.removal import Removal
from core.registry.sealed import SealedSettings
from core.registry.service import Service, does_provide, provided
from core.registry.settings import Fault, sentence, validate
from core.store import Documents
from core.vault import MasterKey, SealedFile, is_marker, split_settings, without_secrets

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Plan:
    """What an installation will keep; `is_known` when it takes up data that was kept."""

    service: Service
    secrets: Mapping[str, Any]
    is_known: bool


class Services:
    """Every installed service. `on_change(id, what)` is called after each change, when it is durable."""

    def __init__(
        self,
        documents: Documents,
        catalog: Catalog,
        *,
        me: Path,
        clock: Clock,
        master: MasterKey,
        environments: Environments,
        reads: Reads,
        on_change: Callable[[str, str], None] = lambda _service_id, _what: None,
    ) -> None:
        self._catalog = catalog
        self._me = me
        self._clock = clock
        self._master = master
        self._environments = environments
        self._reads = reads
        self._on_change = on_change
        self._lock = threading.RLock()
        self._records = ServiceRecords(documents)
        self._naming = Naming(self._records, me)
        self._removal = Removal(self._records, me)
        self._removal.finish()
        self._seal_open_secrets()

    @property
    def notices(self) -> Sequence[str]:
        """Sentences for the owner: records that cannot be read, folders that resist being erased."""
        return (*self._records.notices, *self._removal.notices)

    def list(self) -> tuple[Service, ...]:
        """All installed services in the order of their ids."""
        return tuple(self._records.of_state(State.INSTALLED).values())

    def kept(self) -> tuple[Service, ...]:
        """The uninstalled services whose data was kept; installing under the same id takes it up again."""
        return tuple(self._records.of_state(State.KEPT).values())

    def get(self, service_id: str) -> Service:
        """The installed service of that id; raises NotFound."""
        service = self._records.of_state(State.INSTALLED).get(service_id)
        if service is None:
            raise NotFound(
                f"there is no service {service_id[:ID_CHARS_MAX]!r}", remedy="GET /map lists those there are."
            )
        return service

    def providers(self, types: Iterable[str]) -> tuple[Service, ...]:
        """The enabled services that provide one of `types`, each once; an empty element of `types` matches nothing."""
        wanted = [name.strip() for name in types if name.strip()]
        entries = self._catalog.entries()
        return tuple(
            service
            for service in self.list()
            if service.enabled
            and service.connector in entries
            and any(does_provide(provided(entries[service.connector]), name) for name in wanted)
        )

    def install(
        self,
        connector: str,
        *,
        settings: Mapping[str, Any],
        title: str | None = None,
        service_id: str | None = None,
        on_line: OnLine = lambda _line: None,
    ) -> Service:
        """A new service, or one whose data was kept under the same id, with its uid, account and old settings.

        Without `service_id` it is the connector's name, or its first free numbered form. Packages that the
        connector needs are installed first, which may take minutes. Raises NotFound, SettingsInvalid naming
        every fault, Conflict, BadRequest, and what installing packages raises.
        """
        self._catalog.refresh()
        manifest = self._catalog.get(connector)
        with self._lock:  # Faults are told before anything is fetched.
            self._planned(manifest, settings, title=title, service_id=service_id)
        self._environments.prepare(manifest, on_line)
        with self._lock:
            plan = self._planned(manifest, settings, title=title, service_id=service_id)
            self._make(plan, manifest)
        log.info("service installed id=%s connector=%s again=%s", plan.service.id, connector, plan.is_known)
        self._on_change(plan.service.id, "installed")
        return plan.service

    def uninstall(self, service_id: str, *, erase: bool) -> None:
        """Forget the service; its folder stays for a later install, or goes for good with `erase`.

        The child must have been stopped. Erasing what was kept earlier is allowed. Schedules, listeners and
        logs are the caller's to remove. Once begun, erasing is finished at the next start if it must.
        """
        with self._lock:
            known = self._records.of_state(State.INSTALLED)
            if erase:
                known = self._records.of_state(State.KEPT) | known
            service = known.get(service_id) or self.get(service_id)
            if erase:
                # Bare, since the documents keep the version before the last as a backup.
                service = msgspec.structs.replace(service, settings={}, account=None, allowed_folders=())
            self._records.put(service, State.UNFINISHED if erase else State.KEPT)
        log.info("service uninstalled id=%s erase=%s", service_id, erase)
        try:
            if erase:
                self._removal.erase(service)
        finally:
            self._on_change(service_id, "erased" if erase else "uninstalled")

    def enable(self, service_id: str, *, on_line: OnLine = lambda _line: None) -> Service:
        """Switch the service on; packages of its connector that are missing are installed."""
        self._catalog.refresh()
        manifest = self._catalog.entries().get(self.get(service_id).connector)
        if manifest is not None:
            self._environments.prepare(manifest, on_line)
        return self._change(service_id, "enabled", enabled=True)

    def obstacle(self, service_id: str) -> LockerError | None:
        """What must be mended before its child can start: a connector that is missing or faulty, packages it lacks."""
        try:
            connector = self.get(service_id).connector
        except NotFound:
            return None  # It was uninstalled meanwhile.
        try:
            self._environments.check(self._catalog.get(connector))
        except NotFound:
            return self._catalog.trouble(connector) or NotFound(
                f"its connector, {connector}, is in none of the folders where connectors are looked for",
                remedy="Put its folder back, or uninstall the service: what it holds can be kept.",
            )
        except LockerError as err:
            return err
        return None

    def disable(self, service_id: str) -> Service:
        """Switch the service off, durably."""
        return self._change(service_id, "disabled", enabled=False)

    def pause(self, service_id: str) -> Service:
        """Stop its syncs, durably; it goes on answering."""
        return self._change(service_id, "paused", paused=True)

    def resume(self, service_id: str) -> Service:
        """Let it sync again."""
        return self._change(service_id, "resumed", paused=False)

    def rename(self, service_id: str, title: str) -> Service:
        """Give it another title; id and uid stay."""
        return self._change(service_id, "renamed", title=checked_title(title))

    def open_doors(self, service_id: str, paths: Sequence[str]) -> Service:
        """Open these of the connector's declared doors and shut all others."""
        declared = self._catalog.get(self.get(service_id).connector).doors
        unknown = [path for path in paths if path not in declared]
        if unknown:
            raise BadRequest(f"{unknown[0][:TITLE_CHARS_MAX]!r} is no door that the connector declares")
        return self._change(service_id, "doors", doors_open=tuple(path for path in declared if path in paths))

    def open_store(self, service_id: str, *, is_open: bool) -> Service:
        """Let the owner's other programs write the store that the service's child writes, or no more."""
        if self._catalog.get(self.get(service_id).connector).writer == "core":
            raise BadRequest(
                f"the store of {service_id} is written over the wire by its own connector, so it stays open",
                remedy="Switch the service off to close it.",
            )
        return self._change(service_id, "store", store_open=is_open)

    def sign_in(self, service_id: str, account: str) -> Service:
        """Remember whose account it is; raises Conflict when it already holds another one's data."""
        with self._lock:
            present = self.get(service_id).account
            if present not in (None, account):
                raise Conflict(
                    f"{service_id} holds the data of another account",
                    remedy="Sign in as the same account, or install the connector a second time for this one.",
                )
            service = self._changed(service_id, account=account)
        self._on_change(service_id, "account")
        return service

    def settings_of(self, service_id: str) -> dict[str, Any]:
        """The settings as they were set, secrets included: never to be shown as they are.

        Raises KeyMissing or FileDamaged when there are secrets and they cannot be opened.
        """
        service = self.get(service_id)
        return self._sealed(service, self._catalog.get(service.connector)).joined(service.settings)

    def checked_settings(self, service_id: str) -> dict[str, Any]:
        """The settings as today's connector takes them, defaults filled in; SettingsInvalid names what does not fit."""
        schema = self._catalog.get(self.get(service_id).connector).settings
        clean, faults = validate(schema, self.settings_of(service_id))
        if faults:
            raise SettingsInvalid(sentence(faults))
        return clean

    def secrets_of(self, service_id: str) -> tuple[str, ...]:
        """Every secret text among the settings, for whoever keeps them out of logs."""
        schema = self._catalog.get(self.get(service_id).connector).settings
        return tuple(_texts(split_settings(schema, self.settings_of(service_id))[1]))

    def update_settings(self, service_id: str, settings: Mapping[str, Any]) -> Service:
        """Replace the settings as a whole, secrets included; SettingsInvalid names every field that does not fit."""
        manifest = self._catalog.get(self.get(service_id).connector)
        clean, folders = self._checked(manifest, settings)
        with self._lock:
            plain, secrets = split_settings(manifest.settings, clean)
            known = self._in_its_folder(self.get(service_id))
            service = msgspec.structs.replace(known, settings=plain, allowed_folders=folders)
            self._keep(service, manifest, secrets)
        self._on_change(service_id, "settings")
        return service

    def faults_in(self, connector: str, settings: Mapping[str, Any]) -> tuple[Fault, ...]:
        """What is wrong with these settings: pairs of a dotted path and the end of a sentence."""
        manifest = self._catalog.get(connector)
        clean, faults = validate(manifest.settings, settings)
        return (*faults, *self._reads.agreed(manifest, clean)[1])

    def folders_of(self, service_id: str) -> tuple[Path, ...]:
        """The folders outside its own that its child may read, as they are now."""
        return self._reads.present(self.get(service_id).allowed_folders)

    def working_directory(self, service_id: str) -> Path:
        """The service's folder, ready for a child: what somebody took away or changed of it is made anew.

        Where all of it was gone, the service's log goes on in another epoch.
        """
        with self._lock:
            known = self.get(service_id)
            service = self._in_its_folder(known)
            if service != known:
                self._records.put(service, State.INSTALLED)
                log.warning("folder made anew id=%s origin_epoch=%d", service_id, service.origin_epoch)
            folder = self._me / service.id
            make_folder(folder)
        self._copy(service)
        return folder

    def _change(self, service_id: str, what: str, **fields: Any) -> Service:
        service = self._changed(service_id, **fields)
        self._on_change(service_id, what)
        return service

    def _changed(self, service_id: str, **fields: Any) -> Service:
        with self._lock:
            service = msgspec.structs.replace(self._in_its_folder(self.get(service_id)), **fields)
            self._records.put(service, State.INSTALLED)
            self._copy(service)
        return service

    def _planned(
        self, manifest: Manifest, values: Mapping[str, Any], *, title: str | None, service_id: str | None
    ) -> _Plan:
        chosen = self._naming.chosen(manifest, service_id)
        known = self._records.of_state(State.KEPT).get(chosen)
        clean, folders = self._checked(manifest, {**self._settings_kept(known, manifest), **values})
        plain, secrets = split_settings(manifest.settings, clean)
        service = (known and self._in_its_folder(known)) or Service(
            id=chosen,
            uid=str(uuid7(self._clock.now())),
            connector=manifest.name,
            title=self._naming.title_of(manifest),
            installed_at=self._clock.now(),
        )
        if title is not None:
            service = msgspec.structs.replace(service, title=checked_title(title))
        # What others may ask of it is agreed to anew, as its folders are; that it syncs is what installing says.
        service = msgspec.structs.replace(
            service,
            settings=plain,
            allowed_folders=folders,
            doors_open=(),
            store_open=False,
            enabled=True,
            paused=False,
        )
        return _Plan(service, secrets, is_known=known is not None)

    def _settings_kept(self, known: Service | None, manifest: Manifest) -> dict[str, Any]:
        if known is None:
            return {}
        try:
            kept = self._sealed(known, manifest).joined(known.settings)
        except (KeyMissing, FileDamaged):
            kept = without_secrets(manifest.settings, known.settings)
        return {name: value for name, value in kept.items() if name in manifest.settings}

    def _checked(self, manifest: Manifest, values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        clean, faults = validate(manifest.settings, values)
        folders, more = self._reads.agreed(manifest, clean)
        if faults or more:
            raise SettingsInvalid(sentence([*faults, *more]))
        return clean, folders

    def _make(self, plan: _Plan, manifest: Manifest) -> None:
        service = plan.service
        if not plan.is_known:
            self._records.put(service, State.UNFINISHED)
        try:
            make_folder(self._me / service.id)
            self._keep(service, manifest, plan.secrets)
        except LockerError:
            if not plan.is_known:
                with contextlib.suppress(FolderUnusable):
                    self._removal.erase(service)
            raise

    def _keep(self, service: Service, manifest: Manifest, secrets: Mapping[str, Any]) -> None:
        """Make the settings in `service` and their secrets the present ones, in an order that a crash cannot part."""
        sealed = self._sealed(service, manifest)
        sealed.prepare(service.settings, secrets)
        self._records.put(service, State.INSTALLED)
        sealed.settle(service.settings)
        self._copy(service)

    def _copy(self, service: Service) -> None:
        """Refresh the child's copy. Failing that the change stands all the same: the copy is a courtesy."""
        manifest = self._catalog.entries().get(service.connector)
        if manifest is None:
            return
        try:
            make_folder(self._me / service.id)
            write_record(self._me / service.id, service.copy_for_child(manifest))
        except LockerError as err:
            log.warning("me.json cannot be written id=%s reason=%s", service.id, err)

    def _in_its_folder(self, service: Service) -> Service:
        """The service as it is to be remembered: where its folder is gone, what it stores next is of another epoch."""
        return service if os.path.lexists(self._me / service.id) else service.in_a_new_folder()

    def _seal_open_secrets(self) -> None:
        """Seal what an edit by hand, or a connector that calls a field secret only now, left open in locker.json."""
        for service in self.list():
            manifest = self._catalog.entries().get(service.connector)
            if manifest is None or all(map(is_marker, split_settings(manifest.settings, service.settings)[1].values())):
                continue
            try:
                whole = self._sealed(service, manifest).joined(service.settings)
                plain, secrets = split_settings(manifest.settings, whole)
                sealed = msgspec.structs.replace(service, settings=plain)
                self._keep(sealed, manifest, secrets)
                # Once more, so that the version before, which the documents keep as a backup, is a sealed one too.
                self._records.put(sealed, State.INSTALLED)
                log.warning("open secrets sealed id=%s", service.id)
            except LockerError as err:
                log.error("open secrets cannot be sealed id=%s reason=%s", service.id, err)

    def _sealed(self, service: Service, manifest: Manifest) -> SealedSettings:
        path = self._me / service.id / SEALED_FILE
        file = SealedFile(path, self._master.service_key(service.uid), context=f"auth:{service.uid}")
        return SealedSettings(file, manifest.settings)


def _texts(value: Any) -> Iterator[str]:
    """Every text in `value`, however deep; a number as it would be written."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
    elif not isinstance(value, bool) and value is not None:
        yield str(value)

"""A service's life as its owner decides it: install, settings, enable, stop, uninstall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from core.model.errors import SettingsInvalid
from core.model.ids import check_service_id
from core.registry import TITLE_CHARS_MAX
from core.vault import merge_settings, split_settings
from core.web.marks import mark_faults
from core.web.numbers import whole
from core.web.records import ServiceRecord, service_record
from core.web.routes import CHILD, Ask, Field, Route

ACCOUNT_LENGTH_MAX = 300
LOG_LINES_DEFAULT = 200
LOG_LINES_MAX = 5000
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=TITLE_CHARS_MAX)]


class Install(msgspec.Struct, frozen=True, kw_only=True):
    """What to install under the id in the path, with which settings."""

    connector: str
    settings: dict[str, Any] = {}
    title: Title | None = None


class Uninstall(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the service's data: there is no default."""

    data: Literal["keep", "erase"]


class Uninstalled(msgspec.Struct, frozen=True, kw_only=True):
    """The service is gone, and its data as was asked."""

    id: str
    data: str


class TakenOver(msgspec.Struct, frozen=True, kw_only=True):
    """The services that rested since the restore, and sync from now on."""

    taken_over: list[str]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A service's settings. Where a secret is set stands `{"sealed": "/name"}`; sent back, it keeps that secret."""

    settings: dict[str, Any]


class Naming(msgspec.Struct, frozen=True, kw_only=True):
    """What the service is called from now on."""

    title: Title


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's own id of the account that the owner signed in with."""

    account: Annotated[str, msgspec.Meta(min_length=1, max_length=ACCOUNT_LENGTH_MAX)]


class Nothing(msgspec.Struct, frozen=True):
    """No field is read."""


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a service's log, oldest line first."""

    lines: list[str]


def install(ask: Ask) -> ServiceRecord:
    """Install a connector as a new service under the id in the path."""
    check_service_id(ask.service_id)
    ask.parts.catalog.refresh()
    body: Install = ask.body
    service = ask.parts.services.install(
        body.connector, settings=body.settings, title=body.title, service_id=ask.service_id
    )
    return service_record(ask.parts, service, for_owner=True)


def uninstall(ask: Ask) -> Uninstalled:
    """Remove the service; its data stays or goes as the body says."""
    ask.parts.services.uninstall(ask.service_id, erase=ask.body.data == "erase")
    return Uninstalled(id=ask.service_id, data=ask.body.data)


def enable(ask: Ask) -> ServiceRecord:
    """Switch the service on."""
    return service_record(ask.parts, ask.parts.services.enable(ask.service_id), for_owner=True)


def disable(ask: Ask) -> ServiceRecord:
    """Switch the service off: its child is stopped, and it is neither called nor listed until enabled."""
    return service_record(ask.parts, ask.parts.services.disable(ask.service_id), for_owner=True)


def pause(ask: Ask) -> ServiceRecord:
    """Let the service sync no more until it is resumed; it goes on answering."""
    return service_record(ask.parts, ask.parts.services.pause(ask.service_id), for_owner=True)


def resume(ask: Ask) -> ServiceRecord:
    """Let a paused service sync again; one that rests since a restore waits for the take-over."""
    return service_record(ask.parts, ask.parts.services.resume(ask.service_id), for_owner=True)


def take_over(ask: Ask) -> TakenOver:
    """Let every service sync that rests since a restore: this device takes over from the one that was saved."""
    return TakenOver(taken_over=list(ask.parts.services.take_over()))


def write_title(ask: Ask) -> ServiceRecord:
    """Call the service by another title; its id stays."""
    return service_record(ask.parts, ask.parts.services.rename(ask.service_id, ask.body.title), for_owner=True)


def stop(ask: Ask) -> ServiceRecord:
    """Stop the service's child; the next request starts it again."""
    ask.parts.children.stop(ask.service_id, reason="the owner asked")
    return service_record(ask.parts, ask.parts.services.get(ask.service_id), for_owner=True)


def restart(ask: Ask) -> ServiceRecord:
    """Stop the service's child and start it again; ends the wait after crashes."""
    ask.parts.children.restart(ask.service_id)
    return service_record(ask.parts, ask.parts.services.get(ask.service_id), for_owner=True)


def read_settings(ask: Ask) -> Settings:
    """Tell the service's settings; of a secret only that it is set."""
    service = ask.parts.services.get(ask.service_id)
    schema = ask.parts.catalog.get(service.connector).settings
    return Settings(settings=split_settings(schema, ask.parts.services.settings_of(service.id))[0])


def write_settings(ask: Ask) -> ServiceRecord:
    """Replace the service's settings; where they were read with a mark for a secret, the mark keeps it."""
    service = ask.parts.services.get(ask.service_id)
    schema = ask.parts.catalog.get(service.connector).settings
    secrets = split_settings(schema, ask.parts.services.settings_of(service.id))[1]
    faults = mark_faults(schema, ask.body.settings, secrets)
    if faults:
        raise SettingsInvalid("; ".join(f"{path} {what}" for path, what in faults))
    settings = merge_settings(schema, ask.body.settings, secrets)
    return service_record(ask.parts, ask.parts.services.update_settings(service.id, settings), for_owner=True)


def write_account(ask: Ask) -> Account:
    """Remember whose account the service holds; one that holds another's data already refuses."""
    ask.parts.services.sign_in(ask.service_id, ask.body.account)
    return Account(account=ask.body.account)


def read_log(ask: Ask) -> Log:
    """Tell the last lines of the service's log; as server-sent events, go on as it is written."""
    return Log(lines=list(ask.parts.children.log(ask.service_id, lines=log_lines(ask.query))))


def log_lines(query: Mapping[str, str]) -> int:
    """How many lines of a log the query asks for; BadRequest for what is no such number."""
    return whole(query, "lines", otherwise=LOG_LINES_DEFAULT, most=LOG_LINES_MAX)


_LINES = Field(
    name="lines", about=f"How many: {LOG_LINES_DEFAULT} unless told, {LOG_LINES_MAX} at most.", kind="integer"
)
ROUTES = (
    Route(
        "POST",
        "/core/<id>/install",
        install,
        "services",
        body=Install,
        answer=ServiceRecord,
        status=201,
        is_of_service=False,
    ),
    Route("POST", "/core/<id>/uninstall", uninstall, "services", body=Uninstall, answer=Uninstalled),
    Route("POST", "/core/<id>/enable", enable, "services", body=Nothing, answer=ServiceRecord),
    Route("POST", "/core/<id>/disable", disable, "services", body=Nothing, answer=ServiceRecord),
    Route("POST", "/core/<id>/pause", pause, "services", body=Nothing, answer=ServiceRecord),
    Route("POST", "/core/<id>/resume", resume, "services", body=Nothing, answer=ServiceRecord),
    Route("POST", "/take-over", take_over, "services", body=Nothing, answer=TakenOver),
    Route("PUT", "/core/<id>/title", write_title, "services", body=Naming, answer=ServiceRecord),
    Route("POST", "/core/<id>/stop", stop, "services", body=Nothing, answer=ServiceRecord),
    Route("POST", "/core/<id>/restart", restart, "services", body=Nothing, answer=ServiceRecord),
    Route("GET", "/core/<id>/settings", read_settings, "services", answer=Settings),
    Route("PUT", "/core/<id>/settings", write_settings, "services", body=Settings, answer=ServiceRecord),
    Route("POST", "/core/<id>/account", write_account, "services", CHILD, body=Account, answer=Account),
    Route("GET", "/core/<id>/log", read_log, "services", query=(_LINES,), answer=Log, has_stream=True),
)

"""A service's own page, and what its owner can do there."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response

from core.model.errors import BadRequest, BodyTooLarge, LockerError
from core.model.ids import TYPE_NAME
from core.vault import merge_settings, split_settings
from core.web.child_answers import problem_in
from core.web.dashboard import forms
from core.web.dashboard.condition import is_syncing
from core.web.dashboard.features import content_type_of, feature, said
from core.web.dashboard.form_faults import fault_names, spoken
from core.web.dashboard.given import receipt_words
from core.web.dashboard.keeping import keeping_words
from core.web.dashboard.overview import RECEIPTS_READ, SET_ASIDE_READ, Overview, overview
from core.web.dashboard.visit import Page, Trouble, Visit
from core.web.marks import mark_faults
from core.web.mount import FILE_BYTES_MAX
from core.web.records import manifest_of

RUNS_SHOWN = 20
# A first sync begins when its process does; one that did not begin by then is not waited for.
FIRST_RUN_S = 90.0
# After these a first sync comes by itself.
FIRST_DEEDS = ("installed", "again", "enabled", "resumed")
LOG_LINES = 400
LOG_REFRESH_S = 3
CALL_S = 30.0


def service(visit: Visit) -> Response:
    """Everything about the service on one page."""
    return _service(visit)


def sync(visit: Visit) -> Response:
    """Ask the child to sync now, one stream or all."""
    stream = visit.form.get("stream", "")
    found = overview(visit.parts, visit.parts.services.get(visit.service_id), visit.words)
    if stream and (found.manifest is None or stream not in found.manifest.streams):
        raise BadRequest(f"There is no stream {stream[:64]!r}.")
    trouble = _begin_sync(visit, f"/sync/{stream}" if stream else "/sync")
    return _service(visit, trouble=trouble) if trouble else visit.go(found.href, done="sync")


def wake(visit: Visit) -> Response:
    """Start the child, so that it tells what it holds; back to the list of a type where it was asked from there."""
    type_name = visit.form.get("type", "")
    visit.parts.services.get(visit.service_id)
    try:
        _call(visit, "GET", "/")
    except LockerError as error:
        return _service(visit, trouble=Trouble.of(error))
    place = f"/records/{type_name}" if TYPE_NAME.fullmatch(type_name) else ""
    return visit.go(f"/services/{visit.service_id}{place}", done="woken")


def take_file(visit: Visit) -> Response:
    """Hand a file to the child, at the path that its manifest declares for that; its answer is told."""
    manifest = manifest_of(visit.parts, visit.parts.services.get(visit.service_id))
    takes, file = feature(manifest, "import"), visit.files.get("file")
    if takes is None:
        raise BadRequest("This service takes no files.")
    try:
        content = file.read(FILE_BYTES_MAX + 1) if file else b""
        if not content:
            raise BadRequest("No file was chosen, or it is empty.", remedy="Choose a file first.")
        if len(content) > FILE_BYTES_MAX:
            raise BodyTooLarge(f"The file is larger than {FILE_BYTES_MAX // 2**20} MiB.")
        kind = content_type_of(file.content_type if file else None)
        status, body = _call(visit, "POST", takes.path, body=content, content_type=kind)
    except LockerError as error:
        return _service(visit, trouble=Trouble.of(error))
    if status >= 400:
        return _service(visit, trouble=_refusal(status, body))
    return visit.go(f"/services/{visit.service_id}", said=visit.desk.once.put(said(body)))


def stop(visit: Visit) -> Response:
    """Stop the child."""
    return _deed(visit, lambda: visit.parts.children.stop(visit.service_id, reason="the owner asked"), "stopped")


def restart(visit: Visit) -> Response:
    """Stop the child and start it again."""
    return _deed(visit, lambda: visit.parts.children.restart(visit.service_id), "restarted")


def enable(visit: Visit) -> Response:
    """Switch the service on."""
    return _deed(visit, lambda: visit.parts.services.enable(visit.service_id), "enabled")


def disable(visit: Visit) -> Response:
    """Switch the service off."""
    return _deed(visit, lambda: visit.parts.services.disable(visit.service_id), "disabled")


def pause(visit: Visit) -> Response:
    """Let it sync no more until it is resumed."""
    return _deed(visit, lambda: visit.parts.services.pause(visit.service_id), "paused")


def resume(visit: Visit) -> Response:
    """Let it sync again."""
    return _deed(visit, lambda: visit.parts.services.resume(visit.service_id), "resumed")


def doors(visit: Visit) -> Response:
    """Open one of the declared doors, or shut it; the others stay as they are."""
    path, choice = visit.form.get("path", ""), visit.form.get("door", "")
    if choice not in ("open", "shut"):
        raise BadRequest("door must be open or shut.")
    service = visit.parts.services.get(visit.service_id)
    manifest = manifest_of(visit.parts, service)
    # A door that an older connector declared is neither shown nor kept open.
    others = [one for one in service.doors_open if manifest and one in manifest.doors and one != path]
    wanted = [*others, path] if choice == "open" else others
    done = "opened" if choice == "open" else "shut"
    return _deed(visit, lambda: visit.parts.services.open_doors(visit.service_id, wanted), done)


def store(visit: Visit) -> Response:
    """Open the store to the owner's other programs, or shut it."""
    choice = visit.form.get("store", "")
    if choice not in ("open", "shut"):
        raise BadRequest("store must be open or shut.")
    is_open = choice == "open"
    done = "store-opened" if is_open else "store-shut"
    return _deed(visit, lambda: visit.parts.services.open_store(visit.service_id, is_open=is_open), done)


def rename(visit: Visit) -> Response:
    """Call it by another title."""
    visit.parts.services.get(visit.service_id)
    try:
        visit.parts.services.rename(visit.service_id, visit.form.get("title", ""))
    except LockerError as error:
        return _settings(visit, _typed_now(visit), trouble=Trouble.of(error))
    return visit.go(f"/services/{visit.service_id}", done="renamed")


def settings_form(visit: Visit) -> Response:
    """The service's settings as a form; a secret is never in it."""
    return _settings(visit, _typed_now(visit))


def settings(visit: Visit) -> Response:
    """Save the settings; what does not fit is shown beside its input."""
    typed, schema = dict(visit.form), _schema(visit)
    if "@add" in typed:
        return _settings(visit, forms.with_row(typed, typed["@add"]))
    if "@remove" in typed:
        return _settings(visit, forms.without_row(typed, typed["@remove"]))
    _, secrets = split_settings(schema, visit.parts.services.settings_of(visit.service_id))
    sent = forms.settings_of(schema, typed)
    wanted = merge_settings(schema, sent, secrets)
    connector = visit.parts.services.get(visit.service_id).connector
    found = mark_faults(schema, sent, secrets) or visit.parts.services.faults_in(connector, wanted)
    if found:
        return _settings(visit, typed, faults=fault_names(schema, typed, found), status=422)
    try:
        visit.parts.services.update_settings(visit.service_id, wanted)
    except LockerError as error:
        return _settings(visit, typed, trouble=Trouble.of(error))
    return visit.go(f"/services/{visit.service_id}", done=_sync_with_new_settings(visit))


def log_page(visit: Visit) -> Response:
    """The end of the service's log, which a script follows; without scripts it looks again by itself."""
    return visit.show(
        "log",
        service=visit.parts.services.get(visit.service_id),
        lines=visit.parts.children.log(visit.service_id, lines=LOG_LINES),
        lines_max=LOG_LINES,
        refresh_s=LOG_REFRESH_S if "follow" in visit.query else None,
    )


def uninstall_form(visit: Visit) -> Response:
    """What becomes of the data is asked before anything is removed."""
    return _uninstall(visit)


def uninstall(visit: Visit) -> Response:
    """Remove the service; erasing its data wants its id typed."""
    visit.parts.services.get(visit.service_id)
    choice = visit.form.get("data", "")
    if choice not in ("keep", "erase"):
        return _uninstall(visit, fault="Choose what becomes of its data.")
    if choice == "erase" and visit.form.get("confirm", "").strip() != visit.service_id:
        return _uninstall(visit, fault=f"To erase its data, type {visit.service_id} below.")
    visit.parts.services.uninstall(visit.service_id, erase=choice == "erase")
    return visit.go("/", done="erased" if choice == "erase" else "kept")


def _service(visit: Visit, *, trouble: Trouble | None = None) -> Response:
    visit.parts.catalog.refresh()
    found = overview(visit.parts, visit.parts.services.get(visit.service_id), visit.words, asks_child=True)
    return visit.show(
        "service",
        trouble=trouble,
        overview=found,
        runs=found.runs[:RUNS_SHOWN],
        listeners=[one for one in visit.parts.events.listeners() if one.service == visit.service_id],
        watch=_watch(visit, found),
        takes=feature(found.manifest, "import"),
        gives=feature(found.manifest, "export"),
        socket=visit.parts.store_socket(visit.service_id),
        receipt_words=receipt_words,
        keeping_words=keeping_words,
        set_aside_most=SET_ASIDE_READ,
        receipts_most=RECEIPTS_READ,
        cared_for=visit.parts.cared_for(visit.service_id),
    )


def _watch(visit: Visit, found: Overview) -> str:
    """What the page waits for: `sync` for the end of a start or a sync, `first` for its beginning too, or nothing."""
    done = visit.query.get("done")
    started_at = found.details.started_at or visit.words.now
    is_new = found.state.name == "running" and visit.words.now - started_at < FIRST_RUN_S
    if found.awaits_first_run and (is_new or done in FIRST_DEEDS or found.state.name == "starting"):
        return "first"
    is_busy = found.state.name == "starting" or is_syncing(found.details.holds)
    return "sync" if is_busy or done in ("sync", "settings-sync") else ""


def _begin_sync(visit: Visit, path: str) -> Trouble | None:
    """Ask the child to sync; why it did not begin, or None."""
    try:
        status, body = _call(visit, "POST", path)
    except LockerError as error:
        return Trouble.of(error)
    return _refusal(status, body) if status >= 400 else None


def _call(
    visit: Visit, method: str, path: str, *, body: bytes = b"", content_type: str = "application/json"
) -> tuple[int, bytes]:
    return visit.parts.children.call(
        visit.service_id, method=method, path=path, body=body, content_type=content_type, timeout_s=CALL_S
    )


def _sync_with_new_settings(visit: Visit) -> str:
    """Sync with what was just saved, where that makes sense; what to say of it."""
    found = overview(visit.parts, visit.parts.services.get(visit.service_id), visit.words)
    if not found.can_sync:
        return "settings"
    return "settings-unsynced" if _begin_sync(visit, "/sync") else "settings-sync"


def _deed(visit: Visit, deed: Callable[[], object], done: str) -> Response:
    visit.parts.services.get(visit.service_id)
    try:
        deed()
    except LockerError as error:
        return _service(visit, trouble=Trouble.of(error))
    return visit.go(f"/services/{visit.service_id}", done=done)


def _typed_now(visit: Visit) -> dict[str, str]:
    schema = _schema(visit)
    plain, _ = split_settings(schema, visit.parts.services.settings_of(visit.service_id))
    return forms.typed_of(schema, plain)


def _settings(
    visit: Visit,
    typed: dict[str, str],
    *,
    faults: dict[str, str] | None = None,
    status: int = 200,
    trouble: Trouble | None = None,
) -> Response:
    inputs = forms.inputs(_schema(visit), typed, faults or {})
    return visit.show(
        "settings",
        status=status,
        trouble=trouble,
        service=visit.parts.services.get(visit.service_id),
        inputs=inputs,
        spoken=spoken(inputs, faults or {}),
    )


def _uninstall(visit: Visit, *, fault: str = "") -> Response:
    service = visit.parts.services.get(visit.service_id)
    counts = overview(visit.parts, service, visit.words, asks_child=True).counts
    choice = visit.form.get("data", "")
    return visit.show(
        "uninstall",
        status=422 if fault else 200,
        service=service,
        total=sum(counts.values()),
        fault=fault,
        choice=choice,
    )


def _schema(visit: Visit) -> forms.Schema:
    service = visit.parts.services.get(visit.service_id)
    manifest = manifest_of(visit.parts, service)
    if manifest is None:
        raise BadRequest(
            f"The connector {service.connector} is missing or has faults.", remedy="Mend its folder, then come back."
        )
    return manifest.settings


def _refusal(status: int, body: bytes) -> Trouble:
    """What the child's problem document says."""
    problem = problem_in(body)
    return Trouble.told(
        problem.type or "",
        problem.title or "The connector refused",
        problem.detail or f"The connector answered {status}.",
        remedy=problem.remedy or "Look at the service's log.",
        status=status if status < 600 else 502,
    )


PAGES = (
    Page("GET", "/services/<id>", service),
    Page("POST", "/services/<id>/sync", sync),
    Page("POST", "/services/<id>/wake", wake),
    Page("POST", "/services/<id>/import", take_file),
    Page("POST", "/services/<id>/stop", stop),
    Page("POST", "/services/<id>/restart", restart),
    Page("POST", "/services/<id>/enable", enable),
    Page("POST", "/services/<id>/disable", disable),
    Page("POST", "/services/<id>/pause", pause),
    Page("POST", "/services/<id>/resume", resume),
    Page("POST", "/services/<id>/doors", doors),
    Page("POST", "/services/<id>/store", store),
    Page("POST", "/services/<id>/title", rename),
    Page("GET", "/services/<id>/settings", settings_form),
    Page("POST", "/services/<id>/settings", settings),
    Page("GET", "/services/<id>/log", log_page),
    Page("GET", "/services/<id>/uninstall", uninstall_form),
    Page("POST", "/services/<id>/uninstall", uninstall),
)

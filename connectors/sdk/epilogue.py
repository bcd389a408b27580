"""What the service's log says of a run that ended: its figures, its problem, and each record newly set aside."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from core.model.errors import LockerError
from core.store import Run, Store

ASIDE_TOLD_MAX = 20
TEXT_LENGTH_MAX = 2000

log = logging.getLogger(__name__)


def log_run(run: Run, store: Store) -> None:
    """Write the end of `run` to the log; what it set aside is looked up in `store`."""
    log.info(
        "run ended stream=%s status=%s new=%d updated=%d same=%d deleted=%d quarantined=%d",
        *(run.stream, run.status, run.new, run.updated, run.same, run.deleted, run.quarantined),
    )
    if run.problem is not None:
        log.warning("run %s stream=%s problem: %s", run.status, run.stream, _reason(run.problem))
    if run.quarantined:
        _log_set_aside(run, store)


def _log_set_aside(run: Run, store: Store) -> None:
    """One line for each that this run was the first to refuse: what is refused again and again is told once."""
    try:
        fresh = [one for one in store.quarantined(ASIDE_TOLD_MAX + 1) if one.first_seen >= run.started_at]
    except LockerError as err:
        log.warning("what was set aside cannot be read stream=%s problem=%s", run.stream, err.detail)
        return
    for one in fresh[:ASIDE_TOLD_MAX]:
        log.warning(
            "record set aside stream=%s type=%s key=%r: %s", run.stream, one.type, _cut(one.key), _cut(one.reason)
        )
    if len(fresh) > ASIDE_TOLD_MAX:
        log.warning("more records were set aside stream=%s quarantined=%d", run.stream, run.quarantined)


def _reason(problem: Mapping[str, Any]) -> str:
    said = str(problem.get("detail") or problem.get("title") or "")
    parts = "; ".join(f"{part['name']}: {part['detail']}" for part in problem.get("parts", ()))
    return _cut(" ".join(f"{said} {parts}".split()))


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH_MAX else text[: TEXT_LENGTH_MAX - 1] + "…"

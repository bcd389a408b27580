"""Runs that ended with their process: each is marked as it begins, and noted by the next process."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from connectors.sdk.epilogue import log_run
from core.model.errors import Interrupted, LockerError
from core.model.problem import problem_document
from core.store import Begun, Run, Store, mark_name, unended

log = logging.getLogger(__name__)

KILLED = "the connector's process ended in the middle of the sync, or the computer did"


def mark_begun(store: Store, stream: str, begun: Begun) -> None:
    """Mark in the store that a run has begun; a store that takes no mark takes no rows either, as the run will tell."""
    try:
        store.set_cursor(mark_name(stream), {"run": begun.run, "at": begun.at})
    except Exception:
        log.exception("the beginning of the run could not be marked stream=%s", stream)


def note_broken_off(store: Store, streams: Iterable[str]) -> None:
    """Note and log the runs that an earlier process began and could not end; called before any run begins."""
    for stream in streams:
        try:
            begun = unended(store, stream)
        except LockerError:
            # Whoever asks how the syncs went is told of the damage; the records are served none the less.
            log.exception("the runs cannot be read stream=%s", stream)
            continue
        if begun is None:
            continue
        run = Run(
            id=begun.run,
            stream=stream,
            started_at=begun.at,
            ended_at=begun.at,
            status="partial",
            problem=problem_document(Interrupted(KILLED)),
        )
        log_run(run, store)
        try:
            store.note_run(run)
        except Exception:
            # The disk may be full: the next start finds the mark again, and syncing goes on without.
            log.exception("a run that was broken off could not be noted stream=%s", stream)

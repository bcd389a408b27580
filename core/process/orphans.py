"""Which children run, on disk: so that the next core ends those that a killed one left behind."""

from __future__ import annotations

import json
import logging
import signal
import time
from pathlib import Path

from core.process import tree

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 1024 * 1024
EOF_GRACE_S, KILL_WAIT_S, POLL_S = 1.0, 3.0, 0.02


class ChildRoll:
    """The roll of living children, `Me/run/children.json`; replaced as a whole at each change. Owned by the loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._boot = tree.boot_id()
        self._children: dict[int, tuple[str, str]] = {}

    def enter(self, service_id: str, child: tree.Member) -> None:
        """A child has been started."""
        self._children[child.pid] = (service_id, child.mark)
        self._save()

    def strike(self, pid: int) -> None:
        """A child and all it started are gone."""
        if self._children.pop(pid, None) is not None:
            self._save()

    def end_orphans(self) -> list[str]:
        """End the children of a core that is no more; returns their services' ids. Blocks, at most a few seconds."""
        orphans = self._orphans()
        if orphans:
            self._end(list(orphans))
        self._save()
        return sorted(set(orphans.values()))

    def _orphans(self) -> dict[tree.Member, str]:
        try:
            if self._path.stat().st_size > FILE_BYTES_MAX:
                return {}
            document = json.loads(self._path.read_text("utf-8"))
            if document["boot"] != self._boot:
                return {}
            listed = {tree.Member(int(c["pid"]), str(c["began"])): str(c["service"]) for c in document["children"]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as err:
            log.warning("roll of children cannot be read problem=%s", type(err).__name__)
            return {}
        # A child that is gone may have left a group behind, which its number still names.
        left = {member: service for leader, service in listed.items() for member in tree.left_behind(leader)}
        return left | {member: service for member, service in listed.items() if tree.alive([member])}

    def _end(self, orphans: list[tree.Member]) -> None:
        known = frozenset(orphans).union(*(tree.members(m) for m in orphans))
        tree.signal_all(known, signal.SIGTERM)
        deadline = time.monotonic() + EOF_GRACE_S
        while tree.alive(known) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        deadline = time.monotonic() + KILL_WAIT_S
        while tree.alive(known) and time.monotonic() < deadline:
            known = tree.kill(known) | known
            time.sleep(POLL_S)
        for member in tree.alive(known):
            log.error("orphan cannot be ended pid=%d", member.pid)

    def _save(self) -> None:
        children = [{"pid": p, "service": s, "began": m} for p, (s, m) in sorted(self._children.items())]
        text = json.dumps({"boot": self._boot, "children": children}, indent=2, sort_keys=True)
        new = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.touch(mode=0o600)
            new.write_text(text + "\n", "utf-8")
            new.replace(self._path)
        except OSError as err:
            log.warning("roll of children cannot be written problem=%s", err.strerror)

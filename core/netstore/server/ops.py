"""Every op of the wire by its name: what does it, and the scope it needs."""

from __future__ import annotations

from core.netstore.server import care, greetings, numbers, reads, records, replay, writes
from core.netstore.server.call import Op
from core.netstore.server.door import ADMIN, READ, WRITE

OPS: dict[str, Op] = {
    # Those of the Ruby client.
    "write_fact": Op(writes.write_fact, WRITE),
    "replay": Op(replay.replay, READ),
    "write_snapshot": Op(writes.write_snapshot, WRITE),
    "subscribe": Op(replay.subscribe, READ),
    "stats": Op(greetings.stats, READ),
    "server_status": Op(greetings.server_status, READ),
    "ping": Op(greetings.ping, None),
    "close": Op(greetings.close, None),
    # Ours.
    "hello": Op(greetings.hello, None),
    "auth": Op(greetings.auth, None),
    "write_facts": Op(writes.write_facts, WRITE),
    "write": Op(writes.write, WRITE),
    "append": Op(writes.append, WRITE),
    "read": Op(reads.read, READ),
    "history": Op(reads.history, READ),
    "query": Op(reads.query, READ),
    "search": Op(reads.search, READ),
    "lineage": Op(reads.lineage, READ),
    # What a store's own interface has beside these.
    "records": Op(reads.records, READ),
    "count": Op(records.count, READ),
    "changes": Op(records.changes, READ),
    "fact": Op(records.fact, READ),
    "counts": Op(records.counts, READ),
    "runs": Op(records.runs, READ),
    "quarantined": Op(records.quarantined, READ),
    "cursor": Op(records.cursor, READ),
    "set_cursor": Op(records.set_cursor, WRITE),
    "note_run": Op(records.note_run, WRITE),
    "previous": Op(records.previous, READ),
    "shared": Op(records.shared, READ),
    "rebuild": Op(records.rebuild, ADMIN),
    "commit": Op(records.commit, WRITE),
    # What removes and checks.
    "receipts": Op(care.receipts, READ),
    "compact": Op(care.compact, ADMIN),
    "prune": Op(care.prune, ADMIN),
    "erase": Op(care.erase, ADMIN),
    "verify": Op(care.verify, ADMIN),
    "policies": Op(care.policies, READ),
    "set_policy": Op(care.set_policy, ADMIN),
    "retry_quarantined": Op(care.retry_quarantined, WRITE),
    "drop_quarantined": Op(care.drop_quarantined, ADMIN),
    "collect_garbage": Op(care.collect_garbage, ADMIN),
    # Numbers over time.
    "points": Op(numbers.points, READ),
    "samples": Op(numbers.samples, READ),
    "rollups": Op(numbers.rollups, READ),
    "last_sample": Op(numbers.last_sample, READ),
    "write_samples": Op(numbers.write_samples, WRITE),
    "delete_samples": Op(numbers.delete_samples, ADMIN),
}

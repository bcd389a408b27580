"""Files that nothing names go, with a receipt; whatever anything names stays, also through a crash."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.model.clock import ManualClock
from core.model.fact import Change
from core.store import Aside, Store
from core.store.binaries.garbage import FILES_PER_RECEIPT, GRACE_S, Collected
from core.store.binaries.named import spare
from core.store.binaries.shelves import Kept
from tests.store.conftest import ORIGIN, OpenStore

CHILD = """
import os, sys
from pathlib import Path
from core.model.clock import SystemClock
from core.store import Origin, Store
from core.store.log.ledger import Ledger

def die(*args, **named): os.kill(os.getpid(), 9)

store = Store.open(Path(sys.argv[1]), types={}, origin=Origin(sys.argv[2], 1), clock=SystemClock())
if sys.argv[3] == "before the receipt":
    Ledger.leave_receipt = die
else:
    os.unlink = die
store.collect_garbage(grace_s=0, actor="owner")
"""


def put(store: Store, content: bytes, *, age_s: float = 2 * GRACE_S) -> str:
    """A file that was put so long ago, by the store's clock."""
    digest = store.files.put_file(io.BytesIO(content))
    at = ManualClock().now() - age_s
    os.utime(store.path.parent / "files" / digest[:2] / digest[2:], (at, at))
    return digest


def test_what_nothing_names_goes_with_a_receipt(store: Store) -> None:
    """The receipt says which files, how many and how large; a second look finds nothing."""
    named, first, second = put(store, b"named"), put(store, b"first!"), put(store, b"second")
    store.commit([Change(type="note", key="a", value={"deep": [{"file": f"see {named}."}]})])

    assert Collected(2, 12) == store.collect_garbage(actor="owner")

    assert [True, False, False] == [store.files.exists(digest) for digest in (named, first, second)]
    [receipt] = store.receipts(10)
    said = {name: receipt.document[name] for name in ("count", "bytes", "digests")}
    assert ("collect", "owner") == (receipt.verb, receipt.actor)
    assert {"count": 2, "bytes": 12, "digests": sorted([first, second])} == said
    assert Collected(0, 0) == store.collect_garbage(actor="owner")
    assert 1 == len(store.receipts(10))


def test_whatever_names_a_file_keeps_it(store: Store) -> None:
    """Older versions, shared fields, derivations, keys, cursors, producers and records in quarantine do."""
    digests = [put(store, b"file %d" % number) for number in range(8)]
    store.commit([Change(type="note", key="a", value={"file": digests[0]})])
    store.commit([Change(type="note", key="a", value={}, common={"picture": digests[1].upper()})])
    store.commit([Change(type="note", key="b", value={}, derivation={"from": digests[2]})])
    store.commit([Change(type="note", key=digests[3], value={})])
    store.commit([], cursor=("s", {"last": digests[4]}), producer={"of": digests[5]})
    store.commit([Change(type="note", key="c", value={})], producer={"of": digests[5]})
    store.commit([], aside=[Aside(type="note", key="d", reason="it is bad", value={"file": digests[6]})])
    store.commit([Change(type="note", key="e", value={"run": f"ab{digests[7]}cd"})])

    assert Collected(0, 0) == store.collect_garbage(actor="owner")
    assert all(map(store.files.exists, digests))


def test_file_that_was_put_lately_waits_for_its_fact(store: Store) -> None:
    """Putting comes before naming: the time between is granted; putting again grants it anew."""
    young, again = put(store, b"young", age_s=GRACE_S - 1), put(store, b"again")
    store.files.put_file(io.BytesIO(b"again"))

    assert Collected(0, 0) == store.collect_garbage(actor="owner")
    assert [True, True] == [store.files.exists(digest) for digest in (young, again)]
    assert Collected(1, 5) == store.collect_garbage(grace_s=GRACE_S - 2, actor="owner")


def test_what_is_no_file_of_ours_is_let_be(store: Store, folder: Path) -> None:
    """A note that somebody laid beside the files is not ours to remove."""
    digest = put(store, b"x")
    note = folder / "files" / digest[:2] / "note.txt"
    note.write_text("mine")
    os.utime(note, (1, 1))

    store.collect_garbage(actor="owner")

    assert (True, False) == (note.exists(), store.files.exists(digest))


def test_long_list_goes_in_parts_with_a_receipt_each(store: Store) -> None:
    """A receipt is bounded, and names all that went with it."""
    count = FILES_PER_RECEIPT + 1
    for number in range(count):
        path = store.path.parent / "files" / "ab" / f"{number:062}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (1, 1))

    assert count == store.collect_garbage(actor="owner").files
    assert [1, FILES_PER_RECEIPT] == [len(receipt.document["digests"]) for receipt in store.receipts(10)]


@pytest.mark.parametrize(("moment", "receipts"), [("before the receipt", 0), ("before the first file", 1)])
def test_crash_while_collecting_loses_nothing(open_store: OpenStore, folder: Path, moment: str, receipts: int) -> None:
    """Killed on either side of the receipt, named files stay, and the next collection does what is left."""
    store = open_store(types={})
    named, garbage = put(store, b"named"), put(store, b"garbage")
    store.commit([Change(type="note", key="a", value={"file": named})])
    store.close()

    dead = subprocess.run([sys.executable, "-c", CHILD, str(folder), ORIGIN.log, moment], check=False)

    assert -9 == dead.returncode
    store = open_store(types={})
    assert (receipts, True, True) == (len(store.receipts(10)), store.files.exists(named), store.files.exists(garbage))
    assert Collected(1, 7) == store.collect_garbage(actor="owner")
    assert (True, False) == (store.files.exists(named), store.files.exists(garbage))


def test_digest_is_found_wherever_it_stands() -> None:
    """Also within longer rows of digits; one digit less names nothing."""
    digest = "0123456789abcdef" * 4
    for text in (digest, f"/files/{digest}", f"ff{digest}ff", digest.upper()):
        old = {digest: Kept(digest, 1, 0.0)}
        spare(old, [None, text])
        assert {} == old
    old = {digest: Kept(digest, 1, 0.0)}
    spare(old, [digest[:-1], digest[:32] + " " + digest[32:]])
    assert [digest] == list(old)

"""Reading the log over the wire: whole, in pages, from a place, with an end that stands still."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from typing import Any

import apsw
import psutil
import pytest

from core.model.errors import FactDamaged
from core.netstore import NetworkStore, ServerLimits
from core.netstore.client import reads as client_reads
from core.netstore.server import replay as replay_room
from core.store import Entry
from tests.netstore.served import Bare, Served, fact


def fill(served: Served, count: int, *, store: str = "tasks") -> None:
    """So many facts, a thousand at a time."""
    for start in range(0, count, 1000):
        entries = [Entry(type=store, key=f"k{n}", value={"n": n}) for n in range(start, min(start + 1000, count))]
        served.store.append(entries)


def test_the_whole_log_comes_in_one_reply(served: Served, bare: Bare) -> None:
    """As the Ruby client asks for it: every fact in order, its fields in the known order, ours last."""
    fill(served, 2500)
    reply = bare.ask(op="replay", request_id=5)

    assert ["ok", "facts", "request_id"] == list(reply)
    assert list(range(1, 2501)) == [kept["seq"] for kept in reply["facts"]]
    assert [
        "id", "store", "key", "value", "value_hash", "causation", "transaction_time", "valid_time", "schema_version",
        "producer", "derivation", "seq", "recorded_at",
    ] == list(reply["facts"][0])  # fmt: skip


def test_a_whole_log_too_large_to_hold_is_sent_all_the_same(
    served: Served, bare: Bare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read twice instead of held; the frame is the same, byte for byte."""
    fill(served, 2500)
    bare.send({"op": "replay", "request_id": "x"})
    held = bare.body()
    for bound in (0, 1, 5000, 200_000):
        monkeypatch.setattr(replay_room, "_HELD_BYTES_MAX", bound)
        bare.send({"op": "replay", "request_id": "x"})

        assert held == bare.body()
    assert bare.ask(op="ping")["pong"]


def test_large_replies_are_not_piled_up(served: Served, bare: Bare) -> None:
    """Sixty-four requests at once, two megabytes each to answer: one reply after the other, as they are read."""
    served.store.append([Entry(type="a", key=f"{n}", value={"p": "x" * 100_000}) for n in range(20)])
    bare.send(*[{"op": "replay", "request_id": n} for n in range(1, 61)], {"op": "ping"}, {"op": "subscribe"})
    threading.Event().wait(0.2)
    peak = psutil.Process().memory_info().rss
    ids = [bare.reply()["request_id"] for _ in range(60)]

    assert list(range(1, 61)) == ids
    assert (True, True) == (bare.reply()["pong"], bare.reply()["ok"])
    assert psutil.Process().memory_info().rss - peak < 60 * 1024 * 1024


def test_s15_a_reply_too_large_is_refused(serve: Callable[..., Served]) -> None:
    """It says how to ask instead, and the connection goes on."""
    served = serve(limits=ServerLimits(reply_bytes_max=50_000))
    fill(served, 1000)
    bare = served.bare()
    reply = bare.ask(op="replay")

    assert "reply_too_large" == reply["error_code"] and "limit" in reply["error"]
    assert 100 == len(bare.ask(op="replay", limit=100)["facts"])


@pytest.mark.parametrize("limit", [1, 7, 999, 1000, 1001, 10_000])
def test_s15_pages_are_the_whole_log(served: Served, bare: Bare, limit: int) -> None:
    """Page by page, each begins where the one before ended; the last says that it is."""
    fill(served, 30 if limit < 10 else 2500)
    seqs, pages, since = [], 0, None
    while pages == 0 or since is not None:
        reply = bare.ask(op="replay", limit=limit, since=since)
        seqs += [kept["seq"] for kept in reply["facts"]]
        since, pages = reply["next"], pages + 1

    assert list(range(1, served.store.head() + 1)) == seqs
    assert -(-served.store.head() // limit) == pages
    assert (served.store.head(), served.store.epoch()) == (reply["head"], reply["store_epoch"])


def test_paging_while_others_write_has_an_end(served: Served) -> None:
    """With `until`, the log that was there at the first page is read without gap and repeat."""
    fill(served, 1000)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            served.store.append([Entry(type="tasks", key=f"new{number}", value={})])
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        bare = served.bare()
        first = bare.ask(op="replay", limit=90, since=0)
        seqs, following = [kept["seq"] for kept in first["facts"]], first["next"]
        while following is not None:
            end = {**following, "seq": first["head"]}
            reply = bare.ask(op="replay", limit=90, since=following, until=end)
            seqs += [kept["seq"] for kept in reply["facts"]]
            following = reply["next"]
    finally:
        stop.set()
        writer.join()

    assert list(range(1, first["head"] + 1)) == seqs


def test_only_the_wanted_stores_are_replayed(served: Served, bare: Bare) -> None:
    """The others are passed over, and count for no page."""
    for number in range(10):
        served.store.append([Entry(type=("tasks", "notes")[number % 2], key=f"{number}", value={})])
    first = bare.ask(op="replay", stores=["notes"], limit=3)
    second = bare.ask(op="replay", stores=["notes"], limit=3, since=first["next"])
    none = bare.ask(op="replay", stores=["nothing"])

    assert [2, 4, 6] == [kept["seq"] for kept in first["facts"]]
    assert [8, 10] == [kept["seq"] for kept in second["facts"]]
    assert ([], None, None) == (none["facts"], none["next"], second["next"])


@pytest.mark.parametrize(("since", "until", "expected"), [(0, 3, [1, 2, 3]), (2, 4, [3, 4]), (4, 5, [5]), (5, 5, [])])
def test_since_is_exclusive_until_inclusive(
    served: Served, bare: Bare, since: int, until: int, expected: list[int]
) -> None:
    """Both ends as they are stated."""
    fill(served, 5)

    start, end = ({"store_epoch": served.store.epoch(), "seq": seq} for seq in (since, until))
    assert expected == [kept["seq"] for kept in bare.ask(op="replay", since=start, until=end)["facts"]]


@pytest.mark.parametrize("limit", [0, -1, 10_001, "many"])
def test_a_limit_has_bounds(bare: Bare, limit: Any) -> None:
    """One to ten thousand."""
    assert "invalid_request" == bare.ask(op="replay", limit=limit)["error_code"]


def test_s16_a_cursor_is_of_one_incarnation(served: Served, bare: Bare) -> None:
    """One of another store, of before a restore, or of the future is refused; never a silent gap."""
    fill(served, 3)
    mine = {"store_epoch": served.store.epoch(), "seq": 1}

    assert [2, 3] == [kept["seq"] for kept in bare.ask(op="replay", since=mine)["facts"]]
    assert "cursor_unknown" == bare.ask(op="replay", since={**mine, "store_epoch": "00" * 16})["error_code"]
    assert "cursor_unknown" == bare.ask(op="replay", since={**mine, "seq": 4})["error_code"]
    assert "cursor_unknown" == bare.ask(op="replay", until={**mine, "seq": 4})["error_code"]
    for number in ("1", 1, -1, True, 0.0, 2**70):
        for asked in ({"op": "replay", "since": number}, {"op": "replay", "until": number}):
            assert "invalid_request" == bare.ask(**asked)["error_code"]
        assert "invalid_request" == bare.ask(op="subscribe", cursor=number)["error_code"]
    assert "cursor_unknown" == bare.ask(op="subscribe", cursor={**mine, "store_epoch": "ff" * 16})["error_code"]


def test_a_record_is_read_with_its_fact(bare: Bare) -> None:
    """Found or not; a deleted one is not."""
    bare.ask(op="write_fact", fact=fact(1, key="k"))
    bare.ask(op="write_fact", fact=fact(2, key="gone"))
    bare.ask(op="write_fact", fact=fact(3, key="gone", action="delete", value={}))
    found = bare.ask(op="read", store="tasks", key="k")

    assert (True, {"n": 1}, 1) == (found["found"], found["value"], found["fact"]["seq"])
    for key in ("gone", "never"):
        assert {"ok": True, "found": False, "value": None, "fact": None} == bare.ask(op="read", store="tasks", key=key)


def test_a_history_has_ranges(bare: Bare) -> None:
    """Newest first; since exclusive, valid times inclusive; pages by `after`."""
    for number in range(1, 7):
        bare.ask(op="write_fact", fact=fact(number, key="k", valid_time=float(number * 10)))

    def seqs(**asked: Any) -> list[int]:
        return [kept["seq"] for kept in bare.ask(op="history", store="tasks", key="k", **asked)["facts"]]

    page = bare.ask(op="history", store="tasks", key="k", limit=4)
    assert [6, 5, 4, 3, 2, 1] == seqs()
    assert [6, 5] == seqs(since=4)
    assert [4, 3, 2] == seqs(valid_from=20, valid_to=40)
    assert [2, 1] == seqs(limit=4, after=page["next"])


def test_the_client_pages_through_everything(client: NetworkStore, served: Served) -> None:
    """Facts come back as a store of our own gives them."""
    fill(served, 2100)
    here = [one for start in (0, 1000, 2000) for one in served.store.facts(start, limit=1000)]

    assert here == list(client.replay())
    assert here[10:20] == client.facts(10, limit=10)
    assert served.store.previous(here[5]) == client.previous(here[5])


@pytest.fixture
def pages_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client asks for ten facts at a time."""
    monkeypatch.setattr(client_reads, "REPLAY_FACTS", 10)


@pytest.mark.usefixtures("pages_of_ten")
def test_a_replay_ends_where_the_log_stood_when_it_began(client: NetworkStore, served: Served) -> None:
    """What is written by the same client while it reads does not come, and breaks nothing."""
    fill(served, 35)
    seen = []
    for one in client.replay(5):
        seen.append(one.seq)
        client.append([Entry(type="tasks", key="more", value={"of": one.seq})])

    assert list(range(6, 36)) == seen
    assert 65 == client.head()


@pytest.mark.usefixtures("pages_of_ten")
def test_a_replay_that_is_left_leaves_the_client_as_it_was(client: NetworkStore, served: Served) -> None:
    """The page that was asked for ahead is nobody's."""
    fill(served, 35)
    replay = client.replay()
    first = next(replay)
    del replay

    assert 1 == first.seq
    assert list(range(1, 36)) == [one.seq for one in client.replay()]


@pytest.mark.usefixtures("pages_of_ten")
def test_what_a_replay_cannot_read_comes_after_what_it_can(client: NetworkStore, served: Served) -> None:
    """A page that is refused, whether it was asked for ahead or not, is told of where it stands."""
    fill(served, 35)
    with contextlib.closing(apsw.Connection(str(served.folder / "store.db"))) as db:
        db.execute("UPDATE fact SET value = '{}' WHERE seq = 15")
    seen: list[int] = []
    with pytest.raises(FactDamaged) as damaged:
        seen.extend(one.seq for one in client.replay())

    assert 15 == damaged.value.seq
    assert list(range(1, 15)) == seen


def test_json_of_any_kind_comes_back_as_it_was(bare: Bare) -> None:
    """Letters, big numbers, order of names, nothing where nothing is."""
    value = {"z": 1, "a": [1.5, None, True, "ü😀\u0000\u2028"], "big": 2**80, "": {}, "e": 1e-7}
    bare.ask(op="write_fact", fact=fact(1, value=value))
    kept = bare.ask(op="replay")["facts"][0]["value"]

    assert json.dumps(value) == json.dumps(kept)

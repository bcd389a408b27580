"""Writing over the wire: what is refused, what is the same fact, what is added together."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from core.model.errors import LockerError, SeqMoved
from core.netstore import Door, NetworkStore, one_store
from core.store import Appended, Entry
from tests.netstore.served import TOKEN, Bare, Served, connected, fact


def test_a_written_fact_is_answered_with_its_place(bare: Bare) -> None:
    """Position, time, parent, warnings; the parent of the second is the first."""
    first = bare.ask(op="write_fact", fact=fact(1))
    second = bare.ask(op="write_fact", fact=fact(2, key="t1"))

    assert (True, 1, False, None, []) == tuple(
        first[name] for name in ("ok", "seq", "duplicate", "causation", "warnings")
    )
    assert (2, fact(1)["id"]) == (second["seq"], second["causation"])
    assert ["ok", "seq", "recorded_at", "duplicate", "causation", "warnings", "value_hash"] == list(first)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"id": None}, "id"),
        ({"id": 5}, "id"),
        ({"id": ""}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"store": None}, "store"),
        ({"store": ""}, "store"),
        ({"store": "x" * 129}, "store"),
        ({"store": "a\nb"}, "store"),
        ({"store": "__locker_own"}, "store"),
        ({"key": None}, "key"),
        ({"key": ""}, "key"),
        ({"key": "x" * 513}, "key"),
        ({"key": ["t1"]}, "key"),
        ({"value": None}, "value"),
        ({"value": [1]}, "value"),
        ({"value": "text"}, "value"),
        ({"value_hash": "WRONG"}, "value_hash"),
        ({"value_hash": 7}, "value_hash"),
        ({"causation": {}}, "causation"),
        ({"transaction_time": "now"}, "transaction_time"),
        ({"transaction_time": True}, "transaction_time"),
        ({"valid_time": "then"}, "valid_time"),
        ({"valid_time": 1e30}, "valid_time"),
        ({"schema_version": 0}, "schema_version"),
        ({"schema_version": "1"}, "schema_version"),
        ({"producer": "me"}, "producer"),
        ({"producer": {"x": "y" * 20000}}, "producer"),
        ({"derivation": []}, "derivation"),
        ({"action": "drop"}, "action"),
    ],
)
def test_s09_a_fact_with_a_fault_is_refused(bare: Bare, served: Served, fields: dict[str, Any], field: str) -> None:
    """Each rule by itself: the field is named, nothing is stored, the connection goes on."""
    reply = bare.ask(op="write_fact", fact=fact(1, **fields))

    assert (False, "invalid_fact", field) == (reply["ok"], reply["error_code"], reply["field"])
    assert 0 == served.store.head()
    assert bare.ask(op="write_fact", fact=fact(1))["ok"]


@pytest.mark.parametrize("document", [None, 5, [], "fact"])
def test_s09_what_is_no_fact_is_refused(bare: Bare, document: Any) -> None:
    """No object, no fact."""
    reply = bare.ask(op="write_fact", fact=document)

    assert ("invalid_fact", "fact") == (reply["error_code"], reply["field"])


def test_s09_a_nested_value_has_a_depth(bare: Bare) -> None:
    """Deeper than 64 levels is refused, 60 is not."""

    def nested(depth: int) -> dict[str, Any]:
        return {"x": nested(depth - 1)} if depth else {}

    assert bare.ask(op="write_fact", fact=fact(1, value=nested(60)))["ok"]
    assert "invalid_fact" == bare.ask(op="write_fact", fact=fact(2, value=nested(70)))["error_code"]


def test_s09_a_wrong_hash_is_refused(bare: Bare) -> None:
    """A hash of something else."""
    assert "hash_mismatch" == bare.ask(op="write_fact", fact=fact(1, value_hash="0" * 64))["error_code"]


def test_s09_a_time_far_ahead_is_told(bare: Bare) -> None:
    """It is kept as sent and orders nothing; the writer is told that its clock is suspect."""
    reply = bare.ask(op="write_fact", fact=fact(1, transaction_time=99_999_999_999.0))

    assert (True, ["clock_suspect"]) == (reply["ok"], reply["warnings"])


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"title": "Hello", "status": "open", "n": 1}, b'{"n":1,"status":"open","title":"Hello"}'),
        ({"a": 1.0}, b'{"a":1}'),
        ({"a": 1.0}, b'{"a":1.0}'),
        ({"a": 1e20}, b'{"a":1.0e+20}'),
        ({"a": 1e15}, b'{"a":1.0e+15}'),
        ({"a": 4302464564894991.5}, b'{"a":4302464564894991.5}'),
    ],
)
def test_hash_forms_are_taken(bare: Bare, value: dict[str, Any], written: bytes) -> None:
    """Ours, and that of the Ruby client, which writes a float with its point."""
    given = hashlib.sha256(written).hexdigest()
    reply = bare.ask(op="write_fact", fact=fact(1, value=value, value_hash=given))

    assert (True, given) == (reply["ok"], reply["value_hash"])


def test_integers_of_any_size_pass(bare: Bare, served: Served) -> None:
    """Ids of services go beyond what a float can hold."""
    number = 2**70 + 1
    bare.ask(op="write_fact", fact=fact(1, value={"id": number}))

    assert number == bare.ask(op="replay")["facts"][0]["value"]["id"]
    assert number == served.store.facts(0, limit=1)[0].value["id"]


def test_earlier_names_and_unknown_keys_are_taken(bare: Bare) -> None:
    """`timestamp` and `term` as the Ruby client once wrote them; what nobody knows is ignored."""
    document = fact(1, timestamp=1600000000, term=5.5, colour="red")
    del document["transaction_time"], document["valid_time"]
    bare.ask(op="write_fact", fact=document)
    kept = bare.ask(op="replay")["facts"][0]

    assert (1600000000.0, 5.5) == (kept["transaction_time"], kept["valid_time"])
    assert "colour" not in kept


def test_s10_the_same_fact_again_adds_nothing(bare: Bare, served: Served) -> None:
    """Three times the same is one fact, and each time it is said which."""
    replies = [bare.ask(op="write_fact", fact=fact(1)) for _ in range(3)]

    assert [(1, False), (1, True), (1, True)] == [(reply["seq"], reply["duplicate"]) for reply in replies]
    assert 1 == served.store.head()


def test_s10_the_same_id_with_other_content_is_refused(bare: Bare) -> None:
    """An id is the identity of one event."""
    bare.ask(op="write_fact", fact=fact(1))
    reply = bare.ask(op="write_fact", fact=fact(1, value={"n": 2}))

    assert "conflicting_duplicate" == reply["error_code"]


def test_s10_the_same_fact_from_many_at_once_is_one(served: Served) -> None:
    """Eight clients write it together."""
    replies: list[dict[str, Any]] = []

    def write() -> None:
        bare = served.bare()
        replies.append(bare.ask(op="write_fact", fact=fact(1)))
        bare.socket.close()

    _together(write, 8)

    assert (8, 1) == (sum(reply["ok"] for reply in replies), sum(not reply["duplicate"] for reply in replies))
    assert 1 == served.store.head()


def test_s10_the_same_fact_after_a_restart_is_known(serve: Callable[..., Served]) -> None:
    """What was told before the server stopped is told again after it."""
    first = serve()
    before = first.bare().ask(op="write_fact", fact=fact(1))
    first.server.stop()
    first.store.close()
    after = serve().bare().ask(op="write_fact", fact=fact(1))

    assert (before["seq"], True) == (after["seq"], after["duplicate"])


def test_s05_two_clients_make_one_chain(served: Served) -> None:
    """Writing by turns, each fact's parent is the other's last, and both read the latest."""
    ada, bob = served.bare(), served.bare()
    replies = [(ada if number % 2 else bob).ask(op="write_fact", fact=fact(number, key="k")) for number in range(1, 11)]

    assert [None, *(fact(number)["id"] for number in range(1, 10))] == [reply["causation"] for reply in replies]
    assert [10, 10] == [one.ask(op="read", store="tasks", key="k")["value"]["n"] for one in (ada, bob)]


def test_s05_of_two_that_want_the_same_place_one_wins(served: Served) -> None:
    """`if_seq`: the loser is told where the record stands."""
    served.bare().ask(op="write_fact", fact=fact(1, key="k"))
    for round_ in range(10):
        stands = served.store.head()
        replies: list[dict[str, Any]] = []
        numbers = iter((100 + 2 * round_, 101 + 2 * round_))

        def write(numbers: Any = numbers, stands: int = stands, replies: list[dict[str, Any]] = replies) -> None:
            bare = served.bare()
            replies.append(bare.ask(op="write_fact", fact=fact(next(numbers), key="k"), if_seq=stands))
            bare.socket.close()

        _together(write, 2)
        won = [reply for reply in replies if reply["ok"]]
        lost = [reply for reply in replies if not reply["ok"]]

        assert (1, 1) == (len(won), len(lost))
        assert ("conflict", won[0]["seq"]) == (lost[0]["error_code"], lost[0]["current_seq"])


def test_many_at_once_are_all_kept(served: Served) -> None:
    """Four clients with five writes each are twenty facts."""
    numbers = iter(range(1, 1000))

    def write() -> None:
        bare = served.bare()
        for _ in range(5):
            assert bare.ask(op="write_fact", fact=fact(next(numbers)))["ok"]
        bare.socket.close()

    _together(write, 4)

    assert 20 == served.store.head() == len(served.store.facts(0, limit=100))


def test_pipelined_requests_are_answered_in_order(bare: Bare) -> None:
    """Writes, a bad one among them, and a read behind them: one reply each, as they came."""
    requests: list[dict[str, Any]] = [
        {"op": "write_fact", "fact": fact(number), "request_id": number} for number in range(1, 101)
    ]
    requests[50]["fact"]["key"] = ""
    bare.send(*requests, {"op": "read", "store": "tasks", "key": "t100", "request_id": "read"})
    replies = [bare.reply() for _ in range(101)]

    assert [*range(1, 101), "read"] == [reply["request_id"] for reply in replies]
    assert [51] == [reply["request_id"] for reply in replies if not reply["ok"]]
    assert {"n": 100} == replies[100]["value"]


def test_a_batch_is_answered_one_by_one(bare: Bare) -> None:
    """The good are stored, the bad say why, in order."""
    bare.ask(op="write_fact", fact=fact(1))
    reply = bare.ask(op="write_facts", facts=[fact(1), fact(2), fact(3, key=""), 5, fact(2, value={}), fact(4)])

    assert [True, True, False, False, False, True] == [result["ok"] for result in reply["results"]]
    assert ["invalid_fact", "invalid_fact", "conflicting_duplicate"] == [
        result["error_code"] for result in reply["results"] if not result["ok"]
    ]
    assert [1, 2, 3] == [result["seq"] for result in reply["results"] if result["ok"]]


@pytest.mark.parametrize("bad", [fact(9, key=""), fact(9, value_hash="0" * 64), fact(1, value={}), "nothing"])
def test_an_atomic_batch_is_all_or_none(bare: Bare, served: Served, bad: Any) -> None:
    """One fault, and nothing of it is stored; the fault is said at the top too."""
    bare.ask(op="write_fact", fact=fact(1))
    reply = bare.ask(op="write_facts", facts=[fact(2), bad, fact(3)], atomic=True)
    kept = served.store.head()
    good = bare.ask(op="write_facts", facts=[fact(2), fact(3)], atomic=True)

    assert (False, [False, False, False]) == (reply["ok"], [result["ok"] for result in reply["results"]])
    assert reply["error_code"] == reply["results"][1]["error_code"]
    assert (1, True, 3) == (kept, good["ok"], served.store.head())


def test_a_batch_has_a_size(bare: Bare) -> None:
    """A thousand facts are taken, one more is not."""
    facts = [fact(number) for number in range(1, 1002)]

    assert "invalid_request" == bare.ask(op="write_facts", facts=facts)["error_code"]
    assert all(result["ok"] for result in bare.ask(op="write_facts", facts=facts[:1000])["results"])


def test_the_server_builds_facts(bare: Bare) -> None:
    """`write` for a record, `append` for a history; a key for idempotence is the same event for ever."""
    written = bare.ask(op="write", store="tasks", key="t1", value={"n": 1}, producer={"name": "cron"})
    first = bare.ask(op="append", history="visits", event={"page": "/"}, idempotency_key="visit-1")
    again = bare.ask(op="append", history="visits", event={"page": "/"}, idempotency_key="visit-1")
    other = bare.ask(op="append", history="visits", event={"page": "/x"}, idempotency_key="visit-1")
    free = [bare.ask(op="append", history="visits", event={"page": "/"}) for _ in range(2)]

    assert ("accepted", 1, []) == (written["status"], written["seq"], written["errors"])
    assert ("accepted", "duplicate", first["fact_id"]) == (first["status"], again["status"], again["fact_id"])
    assert ("rejected", "conflicting_duplicate") == (other["status"], other["errors"][0]["error_code"])
    assert ["accepted", "accepted"] == [reply["status"] for reply in free]
    facts = bare.ask(op="replay")["facts"]
    assert [None] * 4 == [kept["causation"] for kept in facts]
    assert 4 == len({(kept["store"], kept["key"]) for kept in facts})


def test_a_snapshot_is_checked_and_merged(bare: Bare, served: Served) -> None:
    """Known facts count, unknown ones are added, a different one keeps everything out."""
    bare.ask(op="write_facts", facts=[fact(1), fact(2)])
    merged = bare.ask(op="write_snapshot", facts=[fact(1), fact(2), fact(3)])
    again = bare.ask(op="write_snapshot", facts=[fact(1), fact(2), fact(3)])
    conflicting = bare.ask(op="write_snapshot", facts=[fact(4), fact(1, value={"n": 9})])

    assert {"ok": True, "known": 2, "added": 1} == merged
    assert {"ok": True, "known": 3, "added": 0} == again
    assert "conflicting_duplicate" == conflicting["error_code"]
    assert 3 == served.store.head()


@pytest.mark.parametrize("bad", [{"value": {"n": -1}}, {"value_hash": "0" * 64}, {"key": ""}, {"id": fact(7)["id"]}])
def test_a_large_snapshot_is_all_or_none(bare: Bare, served: Served, bad: dict[str, Any]) -> None:
    """More facts than are added together: one fault among the last, and none of it is stored."""
    facts = [fact(number) for number in range(1, 2501)]
    bare.ask(op="write_facts", facts=[facts[2400]])
    refused = bare.ask(op="write_snapshot", facts=[*facts[:2400], {**facts[2400], **bad}, *facts[2401:]])
    before = (served.store.head(), dict(served.store.counts()))
    whole = bare.ask(op="write_snapshot", facts=facts)

    assert (False, 1, {"tasks": 1}) == (refused["ok"], *before)
    assert {"ok": True, "known": 1, "added": 2499} == whole
    assert {"tasks": 2500} == served.store.counts()


def test_who_is_not_trusted_cannot_say_where_a_fact_was_made(served: Served) -> None:
    """Over TCP with an app's token, a foreign origin is ignored like any unknown key."""
    bare = served.bare_tcp()
    bare.ask(op="write_fact", fact=fact(1, origin="other/log", origin_epoch=1, origin_seq=5), token=TOKEN)

    assert "device/0190a3c4-0000-7000-8000-000000000000" == served.store.facts(0, limit=1)[0].origin


@pytest.mark.parametrize("value_hash", ["", "ab" * 32])
def test_what_another_store_erased_is_taken_as_erased(bare: Bare, served: Served, value_hash: str) -> None:
    """Who may say where a fact was made brings erased ones with any hash, and the receipt; anybody else does not."""
    gone = {"action": "delete", "value": {}, "value_hash": value_hash}
    made = {"origin": "other/log", "origin_epoch": 1, "known_at": 5.0}
    erased = bare.ask(op="write_fact", fact=fact(1, **gone, **made, origin_seq=1))
    receipt = bare.ask(op="write_fact", fact=fact(2, store="__locker_erasures", **made, origin_seq=2))
    (kept, _) = served.store.facts(0, limit=9)
    stranger = served.bare_tcp()
    refused = [
        stranger.ask(op="write_fact", fact=one, token=TOKEN)["error_code"]
        for one in (fact(3, **gone, **made), fact(4, store="__locker_erasures", **made))
    ]

    assert (True, True) == (erased["ok"], receipt["ok"]), (erased, receipt)
    assert ("delete", value_hash) == (kept.action, kept.value_hash)
    assert ["hash_mismatch" if value_hash else "invalid_fact", "invalid_fact"] == refused


def test_the_client_adds_each_fact_once(client: NetworkStore) -> None:
    """Ids are given before sending; what comes back are a store's own answers."""
    one = client.append([Entry(type="tasks", key="a", value={"n": 1})])
    more = client.append([Entry(type="tasks", key="a", value={"n": 2}), Entry(type="tasks", key="", value={})])
    late = client.append([Entry(type="tasks", key="a", value={"n": 3}, if_seq=1)])
    assert isinstance(one[0], Appended) and isinstance(more[0], Appended)

    assert (1, 2, one[0].id) == (one[0].seq, more[0].seq, more[0].causation)
    assert isinstance(more[1], LockerError) and "invalid_fact" == more[1].code
    assert isinstance(late[0], SeqMoved) and 2 == late[0].current_seq


def _together(do: Callable[[], None], count: int) -> None:
    """Do it in so many threads, begun at the same moment."""
    barrier = threading.Barrier(count)
    faults: list[BaseException] = []

    def run() -> None:
        try:
            barrier.wait(10)
            do()
        except BaseException as err:
            faults.append(err)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [] == faults


def test_a_hash_of_another_kind_is_taken_where_a_door_says_so(served: Served) -> None:
    """By the value, with a warning, one at a time and in batches; sent again it is known; what is no hash is none."""
    path = served.server.serve_unix(served.folder / "any.sock", Door(store_of=one_store(served.store), any_hash=True))
    facts = [fact(1, value_hash="0" * 64), fact(2, value_hash="f" * 64), fact(3)]
    with connected(path) as connection:
        bare = Bare(connection)
        one = bare.ask(op="write_fact", fact=facts[0])
        all_ = bare.ask(op="write_facts", facts=facts, atomic=True)["results"]
        none = bare.ask(op="write_fact", fact=fact(4, value_hash="WRONG"))
        snapshot = bare.ask(op="write_snapshot", facts=facts)

    assert ["hash_unverified"] == one["warnings"]
    assert [(True, ["hash_unverified"]), (False, ["hash_unverified"]), (False, [])] == [
        (result["duplicate"], result["warnings"]) for result in all_
    ]
    assert "invalid_fact" == none["error_code"]
    assert (3, 0) == (snapshot["known"], snapshot["added"])
    assert one["value_hash"] == served.store.facts(0, limit=1)[0].value_hash != "0" * 64

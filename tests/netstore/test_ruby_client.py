"""The incumbent's client, unchanged, against our server."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.netstore import Door, one_store
from tests.conftest import requires_program
from tests.contracts.waiting import wait_until
from tests.fakes.ruby_client import FACT_KEYS, NetworkError, RubyClient
from tests.netstore.served import Served, fact

WIRE_CLIENT = Path(__file__).resolve().parents[1] / "fakes" / "programs" / "wire_client.rb"


@pytest.fixture(params=["unix", "tcp"])
def ruby(request: pytest.FixtureRequest, served: Served) -> Any:
    """The client over the Unix socket, and over TCP where the owner asks for no token."""
    if request.param == "unix":
        made = RubyClient(str(served.path), "unix")
    else:
        host, port = served.server.serve_tcp("127.0.0.1:0", Door(store_of=one_store(served.store)))
        made = RubyClient(f"{host}:{port}")
    yield made
    made.close()


def test_the_ruby_client_writes_and_replays(ruby: RubyClient) -> None:
    """What it sent is what it gets, the parent filled in by the server; keys of ours are sliced away."""
    facts = [fact(number, key="k", value={"n": number, "x": 1.5, "ü": None}) for number in (1, 2, 3)]
    for one in facts:
        ruby.write_fact(one)
    replayed = ruby.replay()

    assert list(FACT_KEYS) == list(replayed[0])
    assert [one["value"] for one in facts] == [one["value"] for one in replayed]
    assert [None, facts[0]["id"], facts[1]["id"]] == [one["causation"] for one in replayed]
    assert [1700000000.25] * 3 == [one["transaction_time"] for one in replayed]


def test_the_ruby_client_is_told_in_a_sentence(ruby: RubyClient) -> None:
    """`error` is all that it shows."""
    with pytest.raises(NetworkError, match="key is missing"):
        ruby.write_fact(fact(1, key=None))

    ruby.write_fact(fact(1))
    assert 1 == len(ruby.replay())


def test_the_ruby_client_subscribes(ruby: RubyClient) -> None:
    """Events of the stores it named; others, and ours that it does not know, pass by."""
    got: list[dict[str, Any]] = []
    subscription = ruby.subscribe(["tasks"], got.append)
    for number, store in enumerate(("tasks", "notes", "tasks"), 1):
        ruby.write_fact(fact(number, store=store))
    wait_until(lambda: len(got) == 2)
    subscription.close()

    assert ["t1", "t3"] == [one["key"] for one in got]
    assert list(FACT_KEYS) == list(got[0])


def test_the_ruby_client_writes_snapshots_and_its_replay_fits(ruby: RubyClient) -> None:
    """Its own replay sent back is known, whole."""
    for number in range(1, 51):
        ruby.write_fact(fact(number))
    ruby.write_snapshot(ruby.replay())

    assert 50 == len(ruby.replay())
    assert 50 == ruby.stats()["facts_written"]


def test_names_with_two_underscores_pass(ruby: RubyClient) -> None:
    """The client keeps its own relations in such stores."""
    ruby.write_fact(fact(1, store="__rel_tasks"))
    with pytest.raises(NetworkError):
        ruby.write_fact(fact(2, store="__locker_own"))

    assert ["__rel_tasks"] == [one["store"] for one in ruby.replay()]


def test_a_program_in_ruby_speaks_the_wire(served: Served) -> None:
    """Ruby itself: its floats, its hashes, its big integers, its reading of our replies."""
    ruby = requires_program("ruby", "apt-get install ruby")
    ran = subprocess.run([ruby, WIRE_CLIENT, served.path], capture_output=True, timeout=60, check=False)
    assert 0 == ran.returncode, ran.stderr.decode()
    seen = json.loads(ran.stdout)

    ids = [fact(number)["id"] for number in (1, 2, 3)]
    assert {
        "began": True,
        "written": [True] * 3,
        "wrong": "hash_mismatch",
        "same": True,
        "chain": [None, *ids[:2]],
        "hashes": True,
        "told": [["fact_written", one] for one in ids],
        "snapshot": {"ok": True, "known": 3, "added": 0},
        "stats": 3,
        "closed": True,
        "ended": True,
    } == seen


def test_its_close_is_no_reset(served: Served) -> None:
    """The server's answer is drained, then FIN comes."""
    ruby = RubyClient(str(served.path), "unix")
    ruby.close()
    wait_until(lambda: served.server.connections == 0)

    assert served.bare().socket.family == socket.AF_UNIX

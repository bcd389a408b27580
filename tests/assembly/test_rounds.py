"""The core's rounds: each store looked through when it is due, by whoever may, and what is wrong told to its owner."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import msgspec
import pytest

from core.assembly.care import TOLD_S, StoreCare
from core.assembly.rounds import AGAIN_S, COLLECT_PATH, COMPACT_PATH, DAY_S, Rounds
from core.assembly.stores import Stores
from core.model.clock import ManualClock
from core.model.errors import FileDamaged, Retry
from core.model.fact import Change
from core.registry import Service
from core.store import CoreDb, Findings, Origin, Policy, Store
from core.web import Notice

ALL = ["compact", "verify", "verify_files", "collect"]


class FakeRegistry:
    """One service, and no connector known for it."""

    def __init__(self, installed_at: float) -> None:
        self.service = Service(
            id="notes", uid="u1", connector="notes", title="Notes", installed_at=installed_at, enabled=True
        )
        self.installed = [self.service]

    def list(self) -> list[Service]:
        return list(self.installed)

    def kept(self) -> list[Service]:
        return []

    def get(self, service_id: str) -> Service:
        return self.service


@dataclass
class Ground:
    """A house's stores without its processes."""

    me: Path
    clock: ManualClock
    registry: FakeRegistry
    coredb: CoreDb
    care: StoreCare
    rounds: Rounds
    stores: Stores
    kept: dict[str, Store] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    refuse: bool = False

    def open(self) -> Store:
        """The service's store, to be written."""
        return Store.open(self.me / "notes", types={}, origin=Origin("d/u1", 1), clock=self.clock)

    def look(self) -> list[str]:
        """The deeds of one look."""
        return [deed for _, deed in self.rounds.look()]

    def notices(self) -> list[Notice]:
        """What the owner is told."""
        return self.care.notices()


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """A service with two versions of a record, written by its child, which sleeps."""
    clock = ManualClock()
    registry = FakeRegistry(clock.now())
    stores = Stores(tmp_path, registry, None)  # type: ignore[arg-type]
    with CoreDb.open(tmp_path / "core.db") as coredb:
        care = StoreCare(tmp_path, registry, stores, coredb=coredb, clock=clock)  # type: ignore[arg-type]

        def ask(service_id: str, path: str) -> None:
            made.asked.append((service_id, path))
            if made.refuse:
                raise Retry("not now")

        rounds = Rounds(
            tmp_path,
            registry,
            stores,
            care=care,
            kept=lambda one: made.kept.get(one),
            ask_child=ask,
            clock=clock,  # type: ignore[arg-type]
        )
        made = Ground(tmp_path, clock, registry, coredb, care, rounds, stores)
        with made.open() as store:
            for number in range(2):
                store.commit([Change(type="note", key="a", value={"n": number})])
        yield made


def spoil(ground: Ground) -> None:
    """Change what a fact says, as a bad disk would."""
    db = apsw.Connection(str(ground.me / "notes" / "store.db"))
    db.execute("UPDATE fact SET value = '{\"n\":7}' WHERE seq = 1")
    db.close()


def test_each_deed_has_its_time(ground: Ground) -> None:
    """Nothing on the first day; then daily, weekly, monthly, each once."""
    first = ground.look()
    days: dict[int, list[str]] = {}
    for day in range(1, 32):
        ground.clock.advance(DAY_S)
        days[day] = ground.look()

    assert [] == first
    assert ["compact"] == days[1] == days[2]
    assert ["compact", "verify"] == days[7] == days[14]
    assert ["compact", "verify_files", "collect"] == days[30]
    assert [] == ground.look()


def test_a_restart_forgets_nothing(ground: Ground) -> None:
    """When it was done is in the core's database; what was never done is due since the service came."""
    ground.clock.advance(7 * DAY_S)
    ground.look()
    again = Rounds(
        ground.me, ground.registry, ground.stores, care=ground.care, kept=lambda _: None,  # type: ignore[arg-type]
        ask_child=lambda *_: None, clock=ground.clock,
    )  # fmt: skip

    assert [] == again.look()


def test_a_clock_set_back_puts_nothing_off(ground: Ground) -> None:
    """What was done in a future that is gone counts as long ago."""
    ground.clock.step(400 * DAY_S)
    ground.look()
    ground.clock.step(-399 * DAY_S)

    assert ALL == ground.look()


def test_a_fact_that_is_not_what_was_written_is_told(ground: Ground) -> None:
    """Where, and what helps; once it is well again nothing is told any more."""
    whole = (ground.me / "notes" / "store.db").read_bytes()
    spoil(ground)
    ground.clock.advance(7 * DAY_S)
    ground.look()
    [notice] = ground.notices()
    (ground.me / "notes" / "store.db").write_bytes(whole)
    ground.clock.advance(7 * DAY_S)
    ground.look()

    assert "facts that are not what was written: 1 (positions 1)" in notice.text
    assert "/services/notes" == notice.href
    assert [] == ground.notices()


def test_a_file_that_is_not_what_was_put_is_told(ground: Ground) -> None:
    """By the beginning of its name."""
    with ground.open() as store:
        digest = store.files.put_file(io.BytesIO(b"a photo"))
    path = ground.me / "notes" / "files" / digest[:2] / digest[2:]
    path.chmod(0o600)
    path.write_bytes(b"a phot0")
    ground.clock.advance(30 * DAY_S)
    ground.look()

    assert [True] == [digest[:16] in notice.text for notice in ground.notices()]


def test_the_childs_writer_lets_go(ground: Ground) -> None:
    """Only where there is something to let go; a child without policies and files is left asleep."""
    ground.clock.advance(30 * DAY_S)
    ground.look()
    before = list(ground.asked)
    with ground.open() as store:
        store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
        store.files.put_file(io.BytesIO(b"a photo"))
    ground.clock.advance(30 * DAY_S)
    ground.look()

    assert [] == before
    assert [("notes", COMPACT_PATH), ("notes", COLLECT_PATH)] == ground.asked


def test_the_core_lets_go_where_it_writes(ground: Ground) -> None:
    """Itself; and the verification is kept in the store for its status."""
    with ground.open() as store:
        store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
        ground.kept["notes"] = store
        ground.clock.advance(30 * DAY_S)
        ground.look()
        [receipt] = store.receipts(10)
        last = store.storage_status().last_verify

    assert ("compact", "core") == (receipt.verb, receipt.actor)
    assert last is not None and last.is_whole
    assert [] == ground.asked


def test_what_was_refused_is_tried_again_later(ground: Ground) -> None:
    """Not at each look."""
    with ground.open() as store:
        store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
    ground.refuse = True
    ground.clock.advance(DAY_S)
    tries = [ground.look(), ground.look()]
    ground.refuse = False
    ground.clock.advance(AGAIN_S)

    assert [[], []] == tries
    assert ["compact"] == ground.look()
    assert 2 == len(ground.asked)


@pytest.mark.parametrize("how", ["rests", "off", "stopped"])
def test_a_store_that_is_not_to_be_had_is_left_alone(ground: Ground, how: str) -> None:
    """While it is looked at after a crash; a service that is off is not woken; and at the core's end."""
    with ground.open() as store:
        store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
    ground.clock.advance(DAY_S)
    if how == "rests":
        with ground.stores.resting("notes"):
            done = ground.look()
    elif how == "off":
        ground.registry.installed = [msgspec.structs.replace(ground.registry.service, enabled=False)]
        done = ground.look()
    else:
        ground.rounds.stop()
        done = ground.look()

    assert ([], []) == (done, ground.asked)


def test_a_damaged_store_is_told_first_and_left_alone(ground: Ground) -> None:
    """Until its owner says what is to become of it."""
    (ground.me / "notes" / "damaged.json").write_text('{"verdict": "damaged", "at": 1, "salvaged": 3}')
    ground.clock.advance(30 * DAY_S)
    done = ground.look()
    with pytest.raises(FileDamaged):
        ground.care.check("notes")

    assert [] == done
    assert "3 facts could be salvaged" in ground.notices()[0].text


def test_facts_that_others_heard_of_are_not_passed_over(ground: Ground) -> None:
    """How far listeners were told is known even where the store itself knows no more."""
    found = Findings(verdict="damaged", at=1.0, salvaged=3, head=3, is_lost_known=False)
    (ground.me / "notes" / "damaged.json").write_bytes(msgspec.json.encode(found))
    before = ground.notices()[0].text
    row = ("listening", "/listen", ground.registry.service.uid, "epoch", 40)
    ground.coredb.write(lambda db: db.execute("INSERT INTO position VALUES (?, ?, ?, ?, ?)", row))

    assert "an unknown number may be lost; the last position known is 3" in before
    assert "Listeners" not in before
    assert "Listeners were told of facts up to position 40." in ground.notices()[0].text


def test_what_became_of_the_cores_own_store_is_told(ground: Ground) -> None:
    """Like that of a service's, for as long as others, and no round forgets it."""
    ground.care.found_own(Findings(verdict="whole", at=1.0))
    whole = ground.notices()
    ground.care.found_own(Findings(verdict="tail_dropped", at=1.0, bytes=9, facts_seen=1, aside=("quarantine/x-wal",)))
    ground.look()

    assert [] == whole
    assert ["quarantine/x-wal" in notice.text for notice in ground.notices()] == [True]
    ground.clock.advance(TOLD_S + 1)
    assert [] == [notice for notice in ground.notices() if "x-wal" in notice.text]


def test_what_is_kept_of_a_service_goes_with_it(ground: Ground) -> None:
    """Nothing is remembered of a store that is gone."""
    ground.clock.advance(30 * DAY_S)
    ground.look()
    ground.registry.installed = []
    ground.look()

    assert [] == ground.coredb.read("SELECT * FROM store_care")


def test_a_long_look_ends_with_the_core(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not noted as done."""

    def verify(_: object, *, wait: Callable[[float], object]) -> None:
        ground.rounds.stop()
        wait(1000.0)

    monkeypatch.setattr("core.store.Reader.verify", verify)
    ground.clock.advance(7 * DAY_S)

    assert ["compact"] == ground.look()

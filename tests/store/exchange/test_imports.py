"""Facts taken in as they were made: nothing lost of them, nothing twice, and whatever cannot be taken is told."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.model.clock import ManualClock
from core.model.errors import InvalidFact, StorageFull
from core.model.fact import Change, Fact, JsonObject, value_hash
from core.store import Appended, Entry, Import, Imported, Origin, Reader, Store
from core.store.exchange import imports
from core.store.exchange.imports import BATCH_BYTES_MAX, BATCH_FACTS, PROBLEMS_TOLD_MAX, entry_of
from core.store.log.entries import ORIGIN_SEQ_LIMIT
from core.store.log.quarantine import ROWS_MAX
from core.store.log.receipts import RECEIPT_BYTES_MAX
from core.store.values import TakenIn
from tests.store.conftest import ORIGIN

ELSEWHERE = Origin("other/0190a3c4-0000-7000-8000-00000000000f", 3)


def told(fact: Fact) -> JsonObject:
    """A fact as an export says it."""
    return dict(msgspec.json.decode(msgspec.json.encode(fact)))


def kept(fact: Fact) -> JsonObject:
    """All that an import keeps: everything but the place in the store."""
    return {name: value for name, value in told(fact).items() if name not in ("seq", "recorded_at")}


def take(store: Store, documents: list[JsonObject]) -> Imported:
    """An import of these."""
    taking = Import(store, source="a file", actor="owner")
    for document in documents:
        taking.take(document, size_bytes=1)
    return taking.finish()


@pytest.fixture
def made(tmp_path: Path) -> list[Fact]:
    """Facts of another store, by thirty commits: changed, deleted, undeleted."""
    clock = ManualClock(1_600_000_000.0)
    (tmp_path / "Other").mkdir()
    with Store.open(tmp_path / "Other" / "notes", types={}, origin=ELSEWHERE, clock=clock) as store:
        for n in range(30):
            clock.advance(1.5)
            changes = [Change(type="note", key=f"k{n % 7}", value={"n": n, "f": n / 3}, common={"title": f"T{n}"})]
            if n % 5 == 0:
                changes.append(Change(type="note", key=f"k{n % 3}", action="delete"))
            store.commit(changes, producer={"name": "p", "n": n % 2})
        return store.facts(0, limit=1000)


def test_every_field_is_kept(store: Store, made: list[Fact]) -> None:
    """Ids, times, origins, revisions, provenance: only the place in this store is this store's."""
    done = take(store, [told(fact) for fact in made])

    facts = store.facts(0, limit=1000)
    assert [kept(fact) for fact in made] == [kept(fact) for fact in facts]
    assert (len(made), 0, 0, 0) == (done.added, done.known, done.conflicting, done.refused)
    assert (1, len(made)) == (done.first_seq, done.last_seq)
    assert done.is_whole


def test_the_state_is_the_state_that_was_there(store: Store, made: list[Fact], tmp_path: Path) -> None:
    """Records, counts and histories are the other store's."""
    take(store, [told(fact) for fact in made])

    with Store.open(tmp_path / "Other" / "notes", types={}, origin=ELSEWHERE, clock=ManualClock()) as other:
        mine, theirs = (s.records("note", limit=100).records for s in (store, other))
        assert [(r.key, r.value, r.common) for r in theirs] == [(r.key, r.value, r.common) for r in mine]
        assert other.counts() == store.counts()
        for n in range(7):
            histories = [[f.id for f in s.history("note", f"k{n}", limit=100).facts] for s in (other, store)]
            assert histories[0] == histories[1]
    before = [(r.key, r.seq) for r in store.records("note", limit=100).records]
    store.rebuild()
    assert before == [(r.key, r.seq) for r in store.records("note", limit=100).records]


def test_again_adds_nothing(store: Store, made: list[Fact]) -> None:
    """Whole, in part, in another order: what is known is known."""
    documents = [told(fact) for fact in made]
    take(store, documents[:10])
    again = take(store, documents)
    third = take(store, documents[::-1])

    assert (10, len(made) - 10) == (again.known, again.added)
    assert (len(made), 0, None) == (third.known, third.added, third.first_seq)
    assert len(made) == store.head()


def test_what_is_newer_here_stays_current(store: Store, made: list[Fact]) -> None:
    """A fact with an older revision goes into history, not over what counts."""
    take(store, [told(made[-1])])
    newest = store.record("note", made[-1].key)

    take(store, [told(fact) for fact in made])

    assert newest == store.record("note", made[-1].key)


def test_another_fact_of_a_known_id_is_a_conflict(store: Store, made: list[Fact]) -> None:
    """It is told and changes nothing; the others go on."""
    take(store, [told(made[0])])
    other = {**told(made[0]), "value": {"n": "other"}, "value_hash": value_hash({"n": "other"})}

    done = take(store, [other, told(made[1])])

    assert (1, 1, False) == (done.conflicting, done.added, done.is_whole)
    assert [(made[0].id, "conflicting_duplicate")] == [(problem.id, problem.code) for problem in done.problems]


def test_one_place_in_a_log_is_not_taken_twice(store: Store, made: list[Fact]) -> None:
    """Two facts that say they are the same number of one log: the second is refused alone."""
    first, second = told(made[0]), {**told(made[1]), "origin_seq": made[0].origin_seq}

    done = take(store, [first, second, told(made[2])])

    assert (2, 1) == (done.added, done.refused)
    assert [made[0].id, made[2].id] == [fact.id for fact in store.facts(0, limit=10)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": None}, "id"), ({"id": 7}, "id"), ({"key": None}, "key"), ({"key": ""}, "key"),
        ({"type": None}, "store"),
        ({"value": [1]}, "value"), ({"value": []}, "value"), ({"value": None}, "value"), ({"value": False}, "value"),
        ({"value": 0}, "value"), ({"value": ""}, "value"), ({"common": "x"}, "common"), ({"common": []}, "common"),
        ({"action": "move"}, "action"), ({"rev": [1]}, "rev"),
        ({"rev": ["a", "b"]}, "rev"), ({"known_at": "now"}, "known_at"), ({"origin_seq": -1}, "origin_seq"),
        ({"schema_version": 0}, "schema_version"), ({"producer": "me"}, "producer"), ({"type": "__locker_x"}, "store"),
        ({"value_hash": "WRONG"}, "value_hash"),
    ],
)  # fmt: skip
def test_what_is_no_fact_is_refused_by_name(store: Store, made: list[Fact], change: JsonObject, field: str) -> None:
    """Each rule, and the fact behind the bad one is taken. S9."""
    done = take(store, [{**told(made[0]), **change}, told(made[1])])

    assert (1, 1) == (done.refused, done.added)
    assert "invalid_fact" == done.problems[0].code
    assert field in done.problems[0].reason or field in ("id", "key", "store")


def test_a_put_without_a_value_is_refused_and_a_deletion_has_none(store: Store, made: list[Fact]) -> None:
    """Nothing is made up for what is not there."""
    put, deletion = (dict(told(next(one for one in made if one.action == action))) for action in ("put", "delete"))
    for document in (put, deletion):
        del document["value"]

    done = take(store, [put, deletion])

    assert (1, 1) == (done.refused, done.added)
    assert "value" in done.problems[0].reason


def test_a_hash_that_does_not_fit_is_refused(store: Store, made: list[Fact]) -> None:
    """The value was changed on the way; Ruby's own form of a hash fits too."""
    ruby = {**told(made[2]), "id": "r", "value": {"f": 1.0}, "origin_seq": 9999}
    ruby["value_hash"] = hashlib.sha256(b'{"f":1.0}').hexdigest()

    done = take(store, [{**told(made[0]), "value": {"n": 2}}, ruby])

    assert ["hash_mismatch"] == [problem.code for problem in done.problems]
    assert 1 == done.added


def test_a_hash_of_another_kind_can_be_let_pass(store: Store, made: list[Fact]) -> None:
    """The incumbent's native extension hashes by BLAKE3: its facts are taken by their values, and counted as such."""
    taking = Import(store, source="a file", actor="owner", any_hash=True)
    for document in [{**told(made[0]), "value_hash": "ab" * 32}, told(made[1])]:
        taking.take(document, size_bytes=1)
    done = taking.finish()

    assert (2, 1, 0, True) == (done.added, done.rehashed, done.refused, done.is_whole)
    assert {made[0].id, made[1].id} == {fact.id for fact in store.facts(0, limit=9)}
    assert value_hash(made[0].value) in [fact.value_hash for fact in store.facts(0, limit=9)]


def test_a_fact_of_the_incumbent_keeps_its_id_and_times() -> None:
    """In its first words and in its later ones; a term of 0 is none."""
    once = {
        "id": "u", "store": "tasks", "key": "t", "value": {"a": 1}, "value_hash": value_hash({"a": 1}),
        "causation": None, "timestamp": 1_700_000_000.25, "term": 0, "schema_version": 1,
    }  # fmt: skip
    later = {**once, "transaction_time": 5, "valid_time": 6.5, "producer": {"p": 1}, "derivation": None}
    del later["timestamp"], later["term"]

    assert (1_700_000_000.25, 1_700_000_000.25, None) == _times(entry_of(once))
    assert (5.0, 5.0, 6.5) == _times(entry_of(later))
    assert 3.0 == entry_of({**once, "term": 3}).valid_time
    assert "tasks" == entry_of(once).type
    with pytest.raises(InvalidFact):
        entry_of({**once, "id": None})


def _times(entry: Entry) -> tuple[float | None, float | None, float | None]:
    return entry.transaction_time, entry.known_at, entry.valid_time


def test_facts_of_the_incumbent_count_in_the_order_of_their_log(store: Store) -> None:
    """Whatever their clock said: the last in the file is the latest. S4."""
    documents: list[JsonObject] = [
        {"id": f"u{n}", "store": "tasks", "key": "t", "value": {"n": n}, "timestamp": at}
        for n, at in enumerate((2000.0, 1000.0, 1000.0, 3000.0, 500.0))
    ]

    take(store, documents)

    record = store.record("tasks", "t")
    assert record is not None
    assert {"n": 4} == record.value
    assert [2000.0, 1000.0, 1000.0, 3000.0, 500.0] == [fact.transaction_time for fact in store.facts(0, limit=10)]
    store.rebuild()
    assert record == store.record("tasks", "t")


def test_it_leaves_a_receipt(store: Store, made: list[Fact]) -> None:
    """Counts, source and actor; for an import that added nothing too."""
    take(store, [told(fact) for fact in made])
    take(store, [told(made[0]), {"id": 1}])

    receipts = store.receipts(10)

    assert [("import", "owner"), ("import", "owner")] == [(one.verb, one.actor) for one in receipts]
    assert (0, 1, 1) == tuple(receipts[0].document[name] for name in ("added", "known", "refused"))
    assert len(made) == receipts[1].document["added"]


def test_problems_are_counted_beyond_those_that_are_told(store: Store) -> None:
    """A file of nothing but nonsense says so in bounded words."""
    done = take(store, [{"id": n} for n in range(PROBLEMS_TOLD_MAX + 7)])

    assert (PROBLEMS_TOLD_MAX + 7, PROBLEMS_TOLD_MAX) == (done.refused, len(done.problems))


def test_a_full_disk_ends_it(store: Store, made: list[Fact]) -> None:
    """What was stored before stays; the next try goes on from there."""

    class Full:
        """A store whose disk is full from the second batch on."""

        def __init__(self) -> None:
            self.batches = 0

        def append(self, entries: Any, *, atomic: bool = False) -> Any:
            """As the store does."""
            self.batches += 1
            if self.batches > 1:
                raise StorageFull("no room")
            return store.append(entries, atomic=atomic)

        def leave_receipt(self, verb: Any, *, actor: str, document: JsonObject) -> int:
            """Never reached."""
            raise AssertionError

    taking = Import(Full(), source="a file", actor="owner")
    many = [{**told(made[0]), "id": f"i{n}", "origin_seq": n + 1, "key": f"k{n}"} for n in range(2 * BATCH_FACTS)]
    with pytest.raises(StorageFull):
        for document in many:
            taking.take(document, size_bytes=1)
        taking.finish()

    assert BATCH_FACTS == store.head()
    assert (BATCH_FACTS, BATCH_FACTS) == ((done := take(store, many)).known, done.added)


def test_large_facts_wait_for_no_full_batch(store: Store, made: list[Fact]) -> None:
    """What waits in memory is bounded by bytes as well as by number."""
    taking = Import(store, source="a file", actor="owner")
    for document in map(told, made[:3]):
        taking.take(document, size_bytes=BATCH_BYTES_MAX // 4)
    assert 0 == store.head()
    taking.take(told(made[3]), size_bytes=BATCH_BYTES_MAX // 4)

    assert 4 == store.head()


def test_facts_of_the_store_s_own_log_come_back(store: Store, made: list[Fact], tmp_path: Path) -> None:
    """The file was lost and the log is the same: what is written next is numbered behind what was imported."""
    (tmp_path / "Again").mkdir()
    with Store.open(tmp_path / "Again" / "notes", types={}, origin=ELSEWHERE, clock=ManualClock()) as again:
        done = take(again, [told(fact) for fact in made[5:]])
        for n in range(3):
            again.commit([Change(type="note", key="new", value={"n": n})])

        last = made[-1].origin_seq
        assert done.is_whole
        assert [last + 1, last + 2, last + 3] == [fact.origin_seq for fact in again.facts(len(made) - 5, limit=9)]


def test_a_number_at_the_end_of_all_numbers_is_refused(store: Store, made: list[Fact]) -> None:
    """Behind it the log could not go on."""
    done = take(store, [{**told(made[0]), "origin_seq": ORIGIN_SEQ_LIMIT}])

    assert ["invalid_fact"] == [problem.code for problem in done.problems]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def lives(draw: st.DrawFn) -> list[Entry]:
    """Facts of a few records, as programs tell them: with producers and derivations, with parents named or not."""
    names = st.text(max_size=5)
    documents = st.dictionaries(st.text(max_size=8), json_values, max_size=3)
    provenance = st.none() | st.dictionaries(names, names, max_size=2)
    entries: list[Entry] = []
    for number in range(draw(st.integers(1, 6))):
        is_put = draw(st.integers(0, 3)) > 0
        parents = st.sampled_from([None, "from elsewhere", *(entry.id for entry in entries)])
        entries.append(
            Entry(
                type=draw(st.sampled_from(["t", "u"])),
                key=draw(st.sampled_from(["k", "l"])),
                id=draw(st.sampled_from([f"id {number}", str(uuid.UUID(int=number + 1))])),
                action="put" if is_put else "delete",
                value=draw(documents) if is_put else {},
                common=draw(documents) if is_put else {},
                producer=draw(provenance),
                derivation=draw(provenance),
                causation=draw(parents),
                valid_time=draw(st.none() | st.floats(-1e9, 1e10)),
                transaction_time=draw(st.none() | st.floats(0, 1e10)),
                schema_version=draw(st.integers(1, 3)),
            )
        )
    return entries


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=lives())
def test_any_life_comes_through(tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]) -> None:
    """Out of one store, through JSON, into another: the same facts in every field, whatever their order. S18."""
    place = tmp_path_factory.mktemp("two")
    with (
        Store.open(place / "a", types={}, origin=ELSEWHERE, clock=ManualClock()) as one,
        Store.open(place / "b", types={}, origin=ORIGIN, clock=ManualClock(1.8e9)) as two,
    ):
        assert all(isinstance(answer, (Appended, InvalidFact)) for answer in one.append(entries))
        made = one.facts(0, limit=10)
        done = take(two, [told(fact) for fact in made])

        assert done.is_whole, done.problems
        assert [kept(fact) for fact in made] == [kept(fact) for fact in two.facts(0, limit=10)]
        for fact in made:
            assert {f.id for f in one.history(fact.type, fact.key, limit=10).facts} == {
                f.id for f in two.history(fact.type, fact.key, limit=10).facts
            }


def receipt(n: int, *, bytes_more: int = 0) -> tuple[JsonObject, int]:
    """A line of another store's receipts, and its size."""
    said = {"count": n, "unreachable": ["y" * bytes_more]}
    line = {"store_epoch": "aa", "verb": "erase", "at": float(n), "actor": "x", "document": said}
    return line, len(msgspec.json.encode(line))


def aside(key: str) -> tuple[JsonObject, int]:
    """A line of another store's quarantine, and its size."""
    line = {
        "type": "note", "key": key, "code": "bad_record", "reason": "no", "sample": "", "first_seen": 1.0,
        "last_seen": 1e308, "times": 1, "refused": {"change": {"key": key, "value": {"a": 1}}},
    }  # fmt: skip
    return line, len(msgspec.json.encode(line))


def test_a_receipt_that_is_too_large_is_left_out(store: Store, folder: Path) -> None:
    """The others come, and everybody can read the store as before."""
    taking = Import(store, source="x", actor="owner")

    taking.take_receipts([receipt(1), receipt(2, bytes_more=20 * RECEIPT_BYTES_MAX), receipt(3)])
    taking.take_receipts([receipt(4, bytes_more=RECEIPT_BYTES_MAX - 100)])
    done = taking.finish()

    assert (3, 1, False) == (done.receipts, done.unreadable, done.is_whole)
    with Reader.open(folder, types={}) as reader:
        assert [4, 3, 1] == [one.document["count"] for one in reader.receipts(10)[1:]]


@pytest.mark.parametrize(("name", "most"), [("RECEIPTS_MAX", 3), ("RECEIPTS_BYTES_MAX", 3 * receipt(1)[1])])
def test_an_import_takes_so_many_receipts(store: Store, monkeypatch: pytest.MonkeyPatch, name: str, most: int) -> None:
    """Those beyond are counted and told."""
    monkeypatch.setattr(imports, name, most)
    taking = Import(store, source="x", actor="owner")
    taking.take_receipts(receipt(n) for n in range(5))
    done = taking.finish()

    assert (3, 2, False) == (done.receipts, done.receipts_left_out, done.is_whole)
    assert ["2 receipts were left out"] == [told.partition(":")[0] for told in done.told_left_out]


def test_what_waits_to_be_taken_in_is_bounded_by_bytes() -> None:
    """As facts are; small lines go a thousand at a time."""
    batches: list[int] = []

    class Counting:
        """Says how many came at once."""

        def take_receipts(self, left: Any) -> int:
            """As the store does."""
            batches.append(len(left))
            return len(left)

        def take_waiting(self, waiting: Any) -> TakenIn:
            """As the store does."""
            batches.append(len(waiting))
            return TakenIn(set_aside=len(waiting))

    taking = Import(Counting(), source="x", actor="owner")  # type: ignore[arg-type]
    taking.take_receipts(receipt(n, bytes_more=BATCH_BYTES_MAX // 8) for n in range(20))
    taking.take_receipts(receipt(n) for n in range(2100))
    taking.take_set_aside((aside(str(n))[0], BATCH_BYTES_MAX // 4) for n in range(9))

    assert [8, 8, 4, 1000, 1000, 100, 4, 4, 1] == batches


def test_what_has_no_room_in_quarantine_is_told(store: Store) -> None:
    """Above what waits at most: counted, and the import is not whole."""
    taking = Import(store, source="x", actor="owner")
    taking.take_set_aside(aside(f"k{n}") for n in range(ROWS_MAX + 100))
    done = taking.finish()

    assert (ROWS_MAX, 100, False) == (done.set_aside, done.no_room, done.is_whole)
    assert ["100 records had no room among those set aside, which are 10,000 at most"] == done.told_left_out


def test_what_waits_under_another_record_s_name_is_left_out(store: Store) -> None:
    """Tried again it would change that one."""
    store.commit([Change(type="note", key="0", value={"v": "here"})])
    line, size = aside("yy")
    taking = Import(store, source="x", actor="owner")
    taking.take_set_aside([({**line, "refused": {"change": {"key": "0", "value": {"v": "LIE"}}}}, size)])
    done = taking.finish()

    assert (0, 1, False) == (done.set_aside, done.unreadable, done.is_whole)
    assert 1 == store.head()

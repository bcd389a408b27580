"""Lists by filter and order: which index serves them, how pages end early, what is counted, what is refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import apsw
import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest, LockerError, TooBusy
from core.model.fact import Change
from core.model.filter import parse, parse_paths
from core.model.manifest import TypeSpec
from core.store import AtSeq, AtTime, Reader, Store
from core.store.asking import query
from core.store.asking.narrow import indexes_of, ranges
from core.store.asking.walk import ByField, ByKey, ByKeyOfValue, KeyPlace, Newest, Scope, Slice, Walk, counting
from core.store.asking.where import Parameters
from tests.contracts.waiting import pages
from tests.store.conftest import OpenStore

SPEC = TypeSpec(name="repo", index=("stars", "owner.login", "photos.0.url"), title="name")
TYPES = {"repo": SPEC}
INDEXES = {"stars": "i_stars", "owner.login": "i_login", "photos.0.url": "i_url"}


def repo(key: str, **fields: Any) -> Change:
    """A repository with these fields."""
    return Change(type="repo", key=key, value={"name": key, **fields})


@pytest.fixture
def repos(open_store: OpenStore) -> Store:
    """A hundred repositories."""
    store = open_store(types=TYPES)
    store.commit([repo(f"k{n:02}", stars=n, owner={"login": f"user{n % 3}"}) for n in range(100)])
    return store


def keys(store: Store | Reader, text: str | None = None, **asked: Any) -> list[str]:
    """The keys of the first page."""
    where = None if text is None else parse(text)
    return [record.key for record in store.records("repo", where=where, **{"limit": 100, **asked}).records]


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("stars == 3", ["stars"]),
        ("stars > 3 and stars <= 9", ["stars"]),
        ('owner->login in ["a", "b"] and stars > 1', ["owner.login", "stars"]),
        ("stars == true", ["stars"]),
        ("stars >= 2026-11-20", ["stars"]),
        ("stars < 2026-11-20", ["stars"]),
        ("stars == 2026-11-20", ["stars"]),
        ("stars >= 2026-11-20T00:00:00Z and stars < 2026-12-20T00:00:00Z", ["stars"]),
        ("stars == @ref", []),
        ("stars == 3kg", []),
        ("stars == 36893488147419103232", []),
        ('stars in [1, @ref]', []),
        ("stars != 3", []),
        ("stars contains 3", []),
        ("not stars", []),
        ("stars", []),
        ("stars == 3 or stars == 4", []),
        ("(stars == 3 or stars == 4) and owner->login == \"a\"", ["owner.login"]),
        ("common->stars == 3", []),
        ("`owner.login` == \"a\"", []),
        ("name == \"a\"", []),
        ("photos->`0`->url == \"a\"", []),
    ],
)  # fmt: skip
def test_what_an_index_narrows(text: str, paths: list[str]) -> None:
    """Equality and ranges on a declared path, of what the index has in one place."""
    assert paths == [one.path for one in ranges(parse(text), INDEXES)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("n > 1", ["big", "two"]),
        ("n >= 1", ["big", "one", "two"]),
        ("n < 2", ["half", "one"]),
        ("n == true", ["true"]),
        ("n == 1", ["one"]),
        ('n >= ""', ["day", "text"]),
        ('n < "y"', ["day", "text"]),
        ("n >= 2026-11-20", ["day", "hayson", "text"]),
        ("n in [1, \"x\", true]", ["one", "text", "true"]),
        ("n > 9223372036854775807", ["big"]),
        ("n < 2026-11-21", ["day"]),
        ("n <= 2026-11-21", ["day", "hayson"]),
        ("n == 2026-11-20", ["day"]),
        ("n == 2026-11-21", ["hayson"]),
        ("n >= 2026-11-20 and n < 2026-11-22", ["day", "hayson"]),
        ('n >= 2026-11-20 and n < "~"', ["day", "text"]),
        ('n > 3 and n < 2026-11-22', []),
        ('n in ["2026-11-20", "x"] and n == 2026-11-20', ["day"]),
        ('n == 2026-11-21 and n == "{"', []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("bounds", [{}, {"GATHERED_MAX": 0, "LISTED_MAX": 0, "_SLICE_FIRST": 2}, {"GATHERED_MAX": 0}])
def test_an_index_finds_what_the_filter_means(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, bounds: dict[str, int], text: str, found: list[str]
) -> None:
    """Booleans, texts, lists and objects share an index with numbers, and are told apart, in whatever order."""
    for name, bound in bounds.items():
        monkeypatch.setattr(query, name, bound)
    store = open_store(types={"repo": TypeSpec(name="repo", index=("n",))})
    there = {
        "one": 1, "half": 0.5, "two": 2, "true": True, "false": False, "text": "x", "null": None, "list": [1],
        "big": 2**70, "object": {"a": 1}, "day": "2026-11-20", "hayson": {"_kind": "date", "val": "2026-11-21"},
    }  # fmt: skip
    store.commit([repo(key, n=value) for key, value in there.items()])
    listed = {
        order: [
            record.key
            for record in pages(
                lambda after, order=order: store.records("repo", where=parse(text), order=order, limit=2, after=after),
                "records",
            )
        ]
        for order in ("key", "newest", "n", "-n")
    }

    assert found == listed["key"]
    assert listed["n"] == listed["-n"][::-1]
    assert [found] * 4 == [sorted(keys) for keys in listed.values()]


def test_an_early_end_goes_on_without_gap(repos: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that looked at its share ends, even empty, and the next goes on; together they hold everything once."""
    monkeypatch.setattr(query, "_SLICE_FIRST", 8)
    monkeypatch.setattr(query, "READ_MAX", 8)
    found: list[str] = []
    sizes = []
    after = None
    while True:
        page = repos.records("repo", where=parse('name >= "k90"'), limit=1, after=after)
        sizes.append(len(page.records))
        found += [record.key for record in page.records]
        after = page.next
        if after is None:
            break

    assert [f"k{n}" for n in range(90, 100)] == found
    assert 0 in sizes


def test_a_count_is_capped(repos: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact up to the bound, then one more than it; less where the work of a page did not reach."""
    for bound, of, expected in ((100, "name", (100, True)), (99, "name", (100, False)), (99, "stars < 50", (50, True))):
        monkeypatch.setattr(query, "COUNTED_MAX", bound)
        count = repos.count("repo", where=parse(of))
        assert expected == (count.count, count.is_exact)
    monkeypatch.setattr(query, "COUNTED_MAX", 2)
    monkeypatch.setattr(query, "READ_MAX", 4)
    count = repos.count("repo", where=parse('name == "k99"'))

    assert (0, False) == (count.count, count.is_exact)
    assert (100, True) == (repos.count("repo").count, repos.count("repo").is_exact)


def test_fields_are_shown_in_their_places(open_store: OpenStore) -> None:
    """Of value and common only what is named; what is not there is left out."""
    store = open_store(types=TYPES)
    store.commit([repo("a", stars=1, owner={"login": "x", "id": 2}, photos=[{"url": "u", "w": 1}])])
    fields = parse_paths("owner->login, photos->`0`->url, title, nothing")
    record = store.records("repo", limit=1, fields=fields).records[0]

    assert {"owner": {"login": "x"}, "photos": {"0": {"url": "u"}}} == record.value
    assert {"title": "a"} == record.common


@pytest.mark.parametrize("order", ["", "-", "-key", "name", "common->stars", "stars->x", "stars desc", "Stars"])
def test_an_unknown_order_is_refused(repos: Store, order: str) -> None:
    """Only key, newest and declared paths are orders."""
    with pytest.raises(BadRequest):
        repos.records("repo", limit=1, order=order)


def test_a_page_of_one_order_leads_on_in_that_order_alone(repos: Store) -> None:
    """A page's end names its order, falling or rising too."""
    ends = {order: repos.records("repo", limit=1, order=order).next for order in ("key", "newest", "stars", "-stars")}
    for order, after in ends.items():
        for other in ends:
            if other != order:
                with pytest.raises(BadRequest):
                    repos.records("repo", limit=1, order=other, after=after)


def test_a_long_field_leads_on(open_store: OpenStore) -> None:
    """What the field holds stands in no page's end, so it may be of any length."""
    store = open_store(types={"repo": TypeSpec(name="repo", index=("n",))})
    store.commit([repo(str(n), n="x" * 100_000 + str(n)) for n in range(3)])
    first = store.records("repo", limit=1, order="n")
    assert first.next is not None

    assert len(first.next) < 200
    assert ["1", "2"] == keys(store, order="n", after=first.next)


def test_a_page_that_ended_behind_all_values_leads_to_none(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the filter is another one than before, too: nothing comes twice."""
    monkeypatch.setattr(query, "GATHERED_MAX", 0)
    store = open_store(types={"repo": TypeSpec(name="repo", index=("n",))})
    store.commit([repo("1", n=1), repo("2", n=2), repo("none"), repo("nothing")])
    first = store.records("repo", limit=3, order="-n")

    assert ["2", "1", "nothing"] == [record.key for record in first.records]
    assert [] == keys(store, "n > 0 and n < 9", order="-n", after=first.next)


def test_a_path_that_cannot_be_indexed_is_no_order(open_store: OpenStore) -> None:
    """A filter is answered all the same."""
    store = open_store(types={"repo": TypeSpec(name="repo", index=("a\tb", "n"))})
    store.commit([Change(type="repo", key="k", value={"a\tb": 1, "n": 2})])

    with pytest.raises(BadRequest, match="is no order") as told:
        store.records("repo", limit=1, order="`a\tb`")
    assert "key, newest, n." in str(told.value.remedy)
    assert ["k"] == keys(store, "`a\tb` == 1")


def test_a_declared_path_is_an_order_once_it_is_indexed(repos: Store) -> None:
    """A reader whose manifest is ahead of the store says so; a filter is answered without."""
    ahead = {"repo": TypeSpec(name="repo", index=("stars", "name"))}
    with Reader.open(repos.path.parent, types=ahead) as reader:
        assert ["k07"] == keys(reader, 'name == "k07"')
        with pytest.raises(TooBusy):
            reader.records("repo", limit=1, order="name")


def test_a_store_that_is_not_there_is_empty(tmp_path: Any) -> None:
    """No file: no records, no counts, no changes, at any moment."""
    with Reader.open(tmp_path / "nothing", types=TYPES) as reader:
        for as_of in (None, AtSeq(0), AtTime(0.0)):
            assert [] == keys(reader, "stars > 1", as_of=as_of, order="stars")
            assert reader.record("repo", "a", as_of=as_of) is None
            assert (0, True) == (reader.count("repo", as_of=as_of).count, reader.count("repo", as_of=as_of).is_exact)
        assert [] == reader.changes(None, None, limit=1).changes


@pytest.mark.parametrize("as_of", [AtSeq(-1), AtTime(float("nan")), AtTime(float("inf"))])
def test_what_is_no_moment_is_refused(repos: Store, as_of: AtSeq | AtTime) -> None:
    """A position from 0 on, or a finite time."""
    with pytest.raises(BadRequest):
        repos.records("repo", limit=1, as_of=as_of)


@pytest.mark.parametrize(
    ("order", "found"), [("stars", ["k50", "k51", "k52", "k53"]), ("-stars", ["k59", "k58", "k57", "k56"])]
)
def test_an_order_is_walked_where_the_filter_can_match(
    repos: Store, monkeypatch: pytest.MonkeyPatch, order: str, found: list[str]
) -> None:
    """A span in the midst of an order is not waited for: the walk begins and ends with it."""
    for name, bound in {
        "GATHERED_MAX": 1,
        "LISTED_MAX": 1,
        "READ_MAX": 12,
        "PASSED_MAX": 12,
        "_SLICE_FIRST": 4,
    }.items():
        monkeypatch.setattr(query, name, bound)
    where = parse("stars >= 50 and stars < 60")
    first = repos.records("repo", where=where, order=order, limit=4)
    rest = repos.records("repo", where=where, order=order, limit=10, after=first.next)

    assert found == [record.key for record in first.records]
    assert (6, None) == (len(rest.records), rest.next)


@pytest.mark.parametrize(
    ("text", "order", "found"),
    [
        ("stars >= 50 and stars < 60", "-stars", ["k59", "k58", "k57", "k56"]),
        ('owner->login == "user1"', "key", ["k01", "k04", "k07", "k10"]),
    ],
)
def test_an_order_that_an_index_has_within_the_filter_is_walked_at_once(
    repos: Store, text: str, order: str, found: list[str]
) -> None:
    """Nothing is counted beforehand, and little more is looked at than is wanted."""
    asked: list[str] = []

    def rows(statement: str, parameters: tuple[Any, ...] = (), *, bytes_max: int | None = None) -> list[Any]:
        asked.append(statement)
        return repos.rows(statement, parameters, bytes_max=bytes_max)

    question = query.Question(type="repo", where=parse(text), order=order)
    listed = query.page(rows, SPEC, question, limit=4, after=None, bytes_max=10_000)

    assert found == [row[3] for row in listed.rows]
    assert listed.next is not None
    assert 1 == sum("f.value" in statement.partition("FROM")[0] for statement in asked)
    assert [] == [statement for statement in asked if "count(*)" in statement]


@pytest.mark.parametrize("as_of", [None, AtSeq(5), AtTime(5.0)])
@pytest.mark.parametrize("order", ["key", "newest", "stars", "-stars"])
def test_each_order_walks_an_index(repos: Store, order: str, as_of: AtSeq | AtTime | None) -> None:
    """No list scans a table, and none but a slice of a field's order is sorted."""
    db = apsw.Connection(str(repos.path), flags=apsw.SQLITE_OPEN_READONLY)
    scope = Scope(1, "repo", as_of)

    def rows(statement: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        plans.append([row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)])
        return db.execute(statement, parameters).fetchall()

    plans: list[list[str]] = []
    indexes = indexes_of(rows, 1, SPEC)
    plans.clear()
    walk: Walk = {"key": ByKey, "newest": Newest}[order](rows, scope) if order in ("key", "newest") else ByField(
        rows, scope, "stars", indexes["stars"], is_descending=order[0] == "-"
    )  # fmt: skip
    end = walk.end(None, 2)
    for place in (None, end):
        parameters = Parameters()
        statement = walk.statement(Slice(place, end, 2), parameters, conditions=["1"], limit=2)
        rows(statement, parameters.values)
        walk.end(place, 2)
    db.close()
    steps = [step for plan in plans for step in plan]
    allowed = ("SCAN i", "SCAN (sub", "USE TEMP B-TREE FOR ORDER BY") if "stars" in order else ("SCAN (sub",)

    assert [] == [s for s in steps if ("SCAN" in s or "TEMP" in s) and not s.startswith(allowed)]
    # A field's order is sorted once more where its slice has been read, and nowhere before.
    assert all(plan[-1].startswith("USE TEMP") for plan in plans if any("TEMP" in step for step in plan))
    assert all(sum("TEMP" in step for step in plan) <= 1 for plan in plans)
    assert "stars" not in order or any(indexes["stars"] in step for step in steps)


def test_a_narrowed_filter_uses_its_index(repos: Store) -> None:
    """The expression of a query is that of the index, letter by letter."""
    db = apsw.Connection(str(repos.path), flags=apsw.SQLITE_OPEN_READONLY)
    indexes = indexes_of(lambda s, p: db.execute(s, p).fetchall(), 1, SPEC)
    for text in ("stars == 3", "stars > 3 and stars < 5", 'owner->login == "user1"', 'owner->login in ["a", "b"]'):
        (one,) = ranges(parse(text), indexes)
        parameters = Parameters()
        joined, counts = counting(Scope(1, "repo", None), parameters)
        source, where = one.source(1, parameters)
        statement = f"SELECT f.value FROM {source} {joined} WHERE {where} AND {counts}"
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", parameters.values)]

        assert plan[0].startswith(f"SEARCH f USING INDEX {one.name} (<expr>")
    db.close()


@pytest.mark.parametrize("as_of", [None, AtSeq(5), AtTime(5.0)])
def test_records_of_one_value_are_walked_by_key(repos: Store, as_of: AtSeq | AtTime | None) -> None:
    """Their index has them in that order: nothing is sorted, and none of another value is looked at."""
    db = apsw.Connection(str(repos.path), flags=apsw.SQLITE_OPEN_READONLY)

    def rows(statement: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        steps.extend(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))
        return db.execute(statement, parameters).fetchall()

    indexes = indexes_of(lambda s, p: db.execute(s, p).fetchall(), 1, SPEC)
    (one,) = ranges(parse('owner->login == "user1"'), indexes)
    steps: list[str] = []
    walk = ByKeyOfValue(rows, Scope(1, "repo", as_of), one)
    end = walk.reach(None, 3)
    for place in (None, end):
        parameters = Parameters()
        statement = walk.statement(Slice(place, end, 3), parameters, conditions=["1"], limit=3)
        rows(statement, parameters.values)
    db.close()

    assert one.is_by_key
    assert KeyPlace("k07") == end
    assert [] == [step for step in steps if "TEMP" in step or step.startswith(("SCAN f", "SCAN c"))]
    assert any(step.startswith(f"SEARCH f USING INDEX {one.name} (<expr>=? AND key>?") for step in steps)


def test_many_versions_of_a_record_are_no_part_of_a_walk(open_store: OpenStore) -> None:
    """A walk by one value ends before a record with more versions of it than the walk is long, or is not begun."""
    store = open_store(types=TYPES)
    for n in range(9):
        store.commit([repo(key, stars=1, n=n) for key in ("c", "d")])
    store.commit([repo(key, stars=1) for key in "abef"])
    (one,) = ranges(parse("stars == 1"), indexes_of(store.rows, 1, SPEC))
    walk = ByKeyOfValue(store.rows, Scope(1, "repo", None), one)

    assert KeyPlace("b") == walk.reach(None, 4)
    assert KeyPlace("b") == walk.reach(KeyPlace("b"), 4)
    assert KeyPlace("c") == walk.reach(KeyPlace("b"), 9)
    assert walk.reach(KeyPlace("d"), 4) is None
    assert list("abcdef") == keys(store, "stars == 1")
    assert 6 == store.count("repo", where=parse("stars == 1")).count


def test_an_index_made_in_an_earlier_way_is_left_alone_until_it_is_made_anew(
    repos: Store, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads by a filter is answered all the same, and by its order told to wait for the next writer."""
    monkeypatch.setattr(query, "GATHERED_MAX", 0)
    repos.close()
    db = apsw.Connection(str(repos.path))
    now = db.execute("SELECT name FROM field_index WHERE path = 'stars'").get
    db.execute(f'DROP INDEX "{now}"')
    earlier = "field_1_0123456789ab"
    db.execute(f"""CREATE INDEX "{earlier}" ON fact (json_extract(value, '$."stars"')) WHERE type = 1""")
    db.execute("UPDATE field_index SET name = ? WHERE path = 'stars'", (earlier,))
    db.close()
    asked = ["stars == 7", "stars > 97"]
    with Reader.open(repos.path.parent, types=TYPES) as reader:
        read = [keys(reader, text) for text in asked]
        with pytest.raises(TooBusy, match="stars is not indexed yet"):
            keys(reader, order="stars")
    with open_store(types=TYPES) as store:
        names = [name for (name,) in store.rows("SELECT name FROM sqlite_schema WHERE name LIKE 'field_1%'")]

        assert read == [keys(store, text) for text in asked]
        assert "k00" == keys(store, order="stars")[0]
        assert ["k07"] == read[0]
        assert now in names
        assert earlier not in names


def test_pages_of_a_filter_hold_while_others_write(repos: Store, clock: ManualClock) -> None:
    """By key, records that change between two pages move none of the others."""
    seen: list[str] = []
    after = None
    while True:
        page = repos.records("repo", where=parse("stars >= 50"), limit=7, after=after)
        seen += [record.key for record in page.records]
        after = page.next
        if after is None:
            break
        repos.commit([repo(seen[-1], stars=60, owner={"login": "new"}), repo(f"a{len(seen)}", stars=70)])

    assert [f"k{n}" for n in range(50, 100)] == seen


def test_the_largest_filter_is_answered(open_store: OpenStore) -> None:
    """A filter at its bounds over records that match in nothing ends within what a reader allows a statement."""
    store = open_store(types=TYPES)
    for start in range(0, 3000, 500):
        store.commit([repo(f"k{n:04}", stars=1, n="x" * 50) for n in range(start, start + 500)])
    heavy = parse("n in [" + ", ".join(["@a"] * 254) + "]")
    indexed = parse("stars == 1 and n in [" + ", ".join(["@a"] * 252) + "]")

    for where in (heavy, indexed):
        pages, after = 0, None
        while True:
            page = store.records("repo", where=where, limit=1000, after=after)
            assert [] == page.records
            pages, after = pages + 1, page.next
            if after is None:
                break
        assert pages < 3000
        assert 0 == store.count("repo", where=where).count


def test_a_filter_that_asks_too_much_of_a_record_is_refused(open_store: OpenStore) -> None:
    """Where a statement is ended for its length, the filter is at fault, and not the file."""
    store = open_store(types=TYPES)
    store.commit([repo("a", n=[0] * 100_000)])

    with pytest.raises(BadRequest, match="too much"):
        store.records("repo", where=parse(" or ".join(["n contains 1"] * 120)), limit=1)
    assert ["a"] == keys(store, "n contains 0")


@pytest.mark.parametrize(
    "forged",
    [
        "DROP TABLE type; CREATE TABLE type (id, name); INSERT INTO type VALUES ('x', 'repo')",
        "INSERT OR REPLACE INTO meta (name, value) VALUES ('floor_seq', 'x')",
        "INSERT OR REPLACE INTO meta (name, value) VALUES ('floor_seq', 1), ('floors', 'x')",
        "DELETE FROM field_index; INSERT INTO field_index (type, path, name) VALUES (1, 'stars', 'no\"index')",
        "DROP TABLE tally; CREATE TABLE tally (type, live); INSERT INTO tally VALUES (1, 'many')",
        "DROP TABLE current; CREATE TABLE current (type, key, seq, deleted, change_hash, at); "
        "CREATE INDEX current_newest ON current (type, at, seq) WHERE deleted = 0; "
        "INSERT INTO current VALUES (1, x'00', 1, 0, NULL, 'soon')",
    ],
)
def test_a_forged_store_is_damage(open_store: OpenStore, forged: str) -> None:
    """What no store of ours wrote is told as damage, or answered; it never crashes whoever reads it."""
    store = open_store(types=TYPES)
    store.commit([repo("a", stars=1), repo("b", stars=2)])
    store.close()
    db = apsw.Connection(str(store.path))
    db.execute(forged)
    db.close()
    with Reader.open(store.path.parent, types=TYPES) as reader:
        asks: list[Any] = [
            lambda: reader.record("repo", "a", as_of=AtSeq(1)),
            lambda: reader.count("repo"),
            lambda: reader.count("repo", where=parse("stars > 0"), as_of=AtTime(0.0)),
            lambda: reader.history("repo", "a", limit=1, as_of=AtSeq(1)),
            lambda: reader.changes(None, None, limit=1),
            *(
                lambda order=order, as_of=as_of: reader.records(
                    "repo", limit=1, order=order, as_of=as_of, where=parse("stars > 0")
                )
                for order in ("key", "newest", "stars")
                for as_of in (None, AtSeq(1), AtTime(0.0))
            ),
        ]
        for ask in asks:
            with suppress(LockerError):
                ask()

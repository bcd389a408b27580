"""Declaring streams and making changes of what they yield."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from connectors.sdk import Delete, Put, stream
from connectors.sdk.rows import Rows
from connectors.sdk.streams import streams_of
from core.model.errors import Broken
from core.model.fact import Change
from core.model.manifest import TypeSpec

ROWS = Rows({"thing": TypeSpec(name="thing"), "deep": TypeSpec(name="deep", key="owner.id")})


def _nothing(context: Any, cursor: Any) -> Any:
    yield from ()


def test_a_function_becomes_a_stream() -> None:
    """With its name and how often it is due; it can still be called, as tests do."""
    declared = stream("entry", every="90m", key="guid", parallel=True)(_nothing)

    assert ("entry", 5400, "guid", True) == (declared.name, declared.every_s, declared.key, declared.parallel)
    assert [] == list(declared(None, None))  # type: ignore[arg-type]


@pytest.mark.parametrize("every", ["", "0m", "soon", "5", "1.5h", "-1h", "5 minutes"])
def test_a_frequency_that_is_none_is_told_at_once(every: str) -> None:
    """When sync.py is imported, not when the run is due."""
    with pytest.raises(Broken, match="every="):
        stream("entry", every=every)


@pytest.mark.parametrize("name", ["", "Entry", "a-b", "1a", "a" * 65])
def test_a_name_that_is_none_is_told_at_once(name: str) -> None:
    """Stream names stand in paths."""
    with pytest.raises(Broken):
        stream(name)


def test_the_streams_of_a_module_are_found() -> None:
    """Each once, however often it is imported; two of one name are a fault."""
    module = ModuleType("sync")
    module.one = module.same = stream("one")(_nothing)  # type: ignore[attr-defined]
    module.number = 3  # type: ignore[attr-defined]

    assert ["one"] == list(streams_of(module))
    module.other = stream("one")(_nothing)  # type: ignore[attr-defined]
    with pytest.raises(Broken, match="twice"):
        streams_of(module)


@pytest.mark.parametrize(
    ("row", "key"),
    [
        (Put(type="thing", value={"id": "a"}), "a"),
        (Put(type="thing", value={"id": 0}), "0"),
        (Put(type="thing", value={"id": 2**70}), str(2**70)),
        (Put(type="thing", value={"id": "a"}, key="b"), "b"),
        (Put(type="thing", value={"id": "a"}, key=0), "0"),
        (Put(type="deep", value={"owner": {"id": 7}}), "7"),
        (Put(type="thing", value={}), ""),
        (Put(type="thing", value={"id": True}), ""),
        (Put(type="thing", value={"id": 1.5}), ""),
        (Put(type="thing", value={"id": None}), ""),
        (Put(type="deep", value={"owner": "x"}), ""),
        (Delete(type="thing", key=3), "3"),
    ],
)
def test_the_key_is_found_by_the_declaration(row: Put | Delete, key: str) -> None:
    """What is no key becomes an empty one, which the store sets aside with its reason."""
    assert key == ROWS.change(row).key


def test_a_stream_may_name_its_own_key() -> None:
    """It overrides the type's."""
    assert "g" == ROWS.change(Put(type="thing", value={"id": 1, "guid": "g"}), key_path="guid").key


def test_a_change_carries_everything_that_was_said() -> None:
    """Value, shared fields, moment and revision."""
    put = Put(type="thing", value={"id": 1}, common={"title": "t"}, at=5.0, order_key=9)
    change = Change(type="thing", key="1", value={"id": 1}, common={"title": "t"}, valid_time=5.0, order_key=9)

    assert change == ROWS.change(put)
    assert Change(type="thing", key="1", action="delete") == ROWS.change(Delete(type="thing", key="1"))


def test_an_undeclared_type_is_the_authors_fault() -> None:
    """It is not the row's, so the run fails instead of setting every row aside."""
    with pytest.raises(Broken, match="not declared"):
        ROWS.change(Put(type="other", value={"id": 1}))

"""Names, identities and keys in a path."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.errors import BadRequest
from core.model.ids import (
    check_service_id,
    device_id,
    is_service_id,
    key_from_path,
    key_to_path,
    proposed_id,
    uuid7,
    uuid7_number,
)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_key_survives_the_path(key: str) -> None:
    """Every key comes back from its path segment, and no segment holds a sign a URL gives meaning to."""
    segment = key_to_path(key)

    assert key == key_from_path(segment)
    assert re.fullmatch(r"~?[A-Za-z0-9_.-]*", segment)
    assert segment not in (".", "..")


@pytest.mark.parametrize("segment", ["", "a b", "ä", "~*", "~ä", "~gICA", "~====", "a/b", "x" * 201])
def test_what_is_no_key_in_a_path(segment: str) -> None:
    """A segment that no key is written as is refused."""
    with pytest.raises(BadRequest):
        key_from_path(segment)


def test_uuid7_has_version_variant_and_time() -> None:
    """The identifier carries version 7, the RFC variant and the millisecond it was made in."""
    made = uuid7(1_700_000_000.123, bytes(range(10)))

    assert (7, uuid.RFC_4122) == (made.version, made.variant)
    assert 1_700_000_000_123 == int.from_bytes(made.bytes[:6], "big")


@given(st.lists(st.integers(0, 2**42), min_size=2, max_size=8, unique=True))
def test_uuid7_sorts_by_time(moments_ms: list[int]) -> None:
    """Identifiers of later milliseconds are greater."""
    moments_ms.sort()
    made = [uuid7(ms / 1000 + 0.0001).bytes[:6] for ms in moments_ms]

    assert sorted(made) == made


@given(st.binary(min_size=10, max_size=10), st.integers(0, 2**40))
def test_counting_on_from_a_uuid7_gives_more_of_the_same_moment(random_bytes: bytes, steps: int) -> None:
    """Whatever the random bytes are, what is counted on from it is a UUIDv7 of that millisecond, and greater."""
    first = uuid7_number(1_700_000_000.123, random_bytes)
    later = uuid.UUID(int=first + steps)

    assert uuid7(1_700_000_000.123, random_bytes) == uuid.UUID(int=first)
    assert (7, uuid.RFC_4122) == (later.version, later.variant)
    assert 1_700_000_000_123 == int.from_bytes(later.bytes[:6], "big")


def test_device_id_is_base32_of_the_digest() -> None:
    """32 lower-case letters and digits, without padding."""
    name = device_id(b"public key")

    assert re.fullmatch(r"[a-z2-7]{32}", name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("github", True), ("github-work", True), ("a", True), ("a" * 64, True),
        ("a" * 65, False), ("Github", False), ("1a", False), ("-a", False), ("a_b", False), ("", False),
        ("owner", False), ("logs", False), ("core", False), ("key", False), ("a/b", False), ("..", False),
        ("a\n", False),
    ],
)  # fmt: skip
def test_service_ids(text: str, expected: bool) -> None:
    """Lower case, digits and hyphens; the reserved words name folders of the core's own."""
    assert expected == is_service_id(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My_Notes", "my-notes"), ("my notes!", "my-notes"), ("2nd Größe", "nd-grosse"), ("_x_", "x"),
        ("a" * 70, "a" * 64), ("github", "github"), ("42", ""), ("owner", ""), ("日本", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_an_id_leads_to_one_that_can(text: str, expected: str) -> None:
    """As much of it as may stand in one; nothing where that is nothing, or a word that is kept."""
    assert expected == proposed_id(text)


def test_what_cannot_name_a_service_is_refused_with_what_can() -> None:
    """The rule, and where there is one, a name like it."""
    with pytest.raises(BadRequest) as caught:
        check_service_id("My_Notes")

    assert caught.value.remedy.endswith("at most 64: for example 'my-notes'.")
    with pytest.raises(BadRequest) as caught:
        check_service_id("4")

    assert caught.value.remedy.endswith("at most 64.")

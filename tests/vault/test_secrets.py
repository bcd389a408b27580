"""Settings parted and joined: nothing secret lies open, and everything comes back."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.vault.secrets import is_marker, merge_settings, split_settings, without_secrets

SCHEMA: dict[str, Any] = {
    "host": {"type": "string"},
    "token": {"type": "string", "secret": True},
    "login": {
        "type": "object",
        "properties": {"user": {"type": "string"}, "password": {"type": "string", "secret": True}},
    },
    "accounts": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "key/~": {"type": "string", "secret": True}},
        },
    },
    "codes": {"type": "array", "items": {"type": "string", "secret": True}},
    "blob": {"type": "object", "secret": True},
}
SETTINGS: dict[str, Any] = {
    "host": "example.org",
    "token": "SECRET-t",
    "login": {"user": "me", "password": "SECRET-p"},
    "accounts": [{"name": "a", "key/~": "SECRET-a"}, {"name": "b"}, {"name": "c", "key/~": "SECRET-c"}],
    "codes": ["SECRET-1", "SECRET-2"],
    "blob": {"private": "SECRET-b"},
}

text = st.text(max_size=8)
settings = st.fixed_dictionaries(
    {},
    optional={
        "host": text,
        "token": text,
        "login": st.fixed_dictionaries({}, optional={"user": text, "password": text}),
        "accounts": st.lists(st.fixed_dictionaries({}, optional={"name": text, "key/~": text}), max_size=4),
        "codes": st.lists(text, max_size=3),
        "blob": st.dictionaries(text, text, max_size=2),
        "of no schema": st.one_of(text, st.lists(text, max_size=2)),
    },
)


def test_no_secret_stays_in_the_open_part() -> None:
    """Secrets of every depth, in objects and arrays, are taken out; the rest stays."""
    plain, secrets = split_settings(SCHEMA, SETTINGS)

    assert "SECRET" not in repr(plain)
    assert plain["host"] == "example.org"
    assert plain["accounts"][1] == {"name": "b"}
    assert set(secrets) == {
        "/token",
        "/login/password",
        "/accounts/0/key~1~0",
        "/accounts/2/key~1~0",
        "/codes/0",
        "/codes/1",
        "/blob",
    }


@given(settings)
def test_merge_undoes_split(values: dict[str, Any]) -> None:
    """Whatever was parted is joined again exactly."""
    plain, secrets = split_settings(SCHEMA, values)

    assert merge_settings(SCHEMA, plain, secrets) == values


@given(settings)
def test_the_visible_part_has_neither_secrets_nor_markers(values: dict[str, Any]) -> None:
    """What anybody may see is the same whether it is made from the whole or from the open part."""
    plain, _secrets = split_settings(SCHEMA, values)

    assert without_secrets(SCHEMA, plain) == without_secrets(SCHEMA, values)
    assert "token" not in without_secrets(SCHEMA, values)


def test_a_secret_follows_its_entry_when_others_are_removed() -> None:
    """After the owner deletes the first account by hand, the third still has its own password."""
    plain, secrets = split_settings(SCHEMA, SETTINGS)
    del plain["accounts"][0]

    merged = merge_settings(SCHEMA, plain, secrets)

    assert merged["accounts"] == [{"name": "b"}, {"name": "c", "key/~": "SECRET-c"}]


def test_a_marker_carries_no_secret_into_the_open() -> None:
    """A caller who puts a marker into an open field gets the marker back, not the secret."""
    merged = merge_settings(SCHEMA, {"host": {"sealed": "/token"}}, {"/token": "SECRET-t"})

    assert merged == {"host": {"sealed": "/token"}}


def test_a_marker_without_its_secret_leaves_the_field_out() -> None:
    """When the sealed file is gone the field is missing, which the check of the settings then names."""
    plain, _secrets = split_settings(SCHEMA, SETTINGS)

    merged = merge_settings(SCHEMA, plain, {})

    assert "token" not in merged
    assert merged["codes"] == []


def test_what_counts_as_a_marker() -> None:
    """Only an object with exactly the one key and a text is a marker."""
    assert is_marker({"sealed": "/token"})
    assert not is_marker({"sealed": 1})
    assert not is_marker({"sealed": "/token", "more": 1})
    assert not is_marker("sealed")

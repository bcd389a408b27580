"""Settings against their schema: every fault by field, defaults filled in, nothing unknown let through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.registry.pattern import TEXT_BYTES_MAX
from core.registry.schema import schema_faults
from core.registry.settings import (
    DEPTH_MAX,
    FAULTS_MAX,
    ITEMS_MAX,
    NAME_CHARS_MAX,
    SETTINGS_BYTES_MAX,
    TEXT_CHARS_MAX,
    sentence,
    validate,
)

SCHEMA: dict[str, Any] = {
    "url": {"type": "string", "format": "url", "required": True},
    "count": {"type": "integer", "minimum": 1, "maximum": 10, "default": 3},
    "share": {"type": "number", "minimum": 0, "maximum": 1},
    "deep": {"type": "boolean", "default": False},
    "since": {"type": "string", "enum": ["always", "year"], "default": "year"},
    "accounts": {
        "type": "array",
        "maxItems": 2,
        "items": {
            "type": "object",
            "required": ["host"],
            "properties": {
                "host": {"type": "string", "minLength": 3},
                "port": {"type": "integer", "default": 993},
                "password": {"type": "string", "secret": True, "required": True},
            },
        },
    },
}
URL = "https://example.org/feed?x=1"
NO_URLS = ["x", "ftp://a/", "http:///x", "http://a b/", "http://a:x/", "http://[/", "https://a/\n"]


def faults_of(schema: dict[str, Any], values: dict[str, Any]) -> dict[str, str]:
    return dict(validate(schema, values)[1])


def test_defaults_are_filled_in() -> None:
    """What was left out and has a default is there afterwards, in entries of lists too; the rest stays out."""
    clean, faults = validate(SCHEMA, {"url": URL, "accounts": [{"host": "a.example", "password": "p"}]})

    assert faults == []
    assert clean == {
        "url": URL,
        "count": 3,
        "deep": False,
        "since": "year",
        "accounts": [{"host": "a.example", "port": 993, "password": "p"}],
    }


def test_defaults_are_nobodys_to_change() -> None:
    """A caller that changes what it got does not change the schema."""
    schema = {"list": {"type": "array", "default": [1]}}
    validate(schema, {})[0]["list"].append(2)

    assert validate(schema, {})[0] == {"list": [1]}


def test_every_fault_is_told_with_its_field() -> None:
    """All faults of one submission come together, each under its dotted path."""
    faults = faults_of(
        SCHEMA,
        {
            "count": 11,
            "share": "much",
            "deep": "yes",
            "since": "never",
            "accounts": [{"port": "x", "password": ""}, {"host": "ab", "password": "p", "user": "u"}],
            "speed": 1,
        },
    )

    assert faults == {
        "url": "is missing",
        "count": "must be at most 10",
        "share": "must be a number",
        "deep": "must be true or false",
        "since": "must be one of always, year",
        "accounts.0.host": "is missing",
        "accounts.0.port": "must be a whole number",
        "accounts.0.password": "is missing",
        "accounts.1.host": "must have 3 to 10000 characters",
        "accounts.1.user": "is no setting; there are host, port, password",
        "speed": "is no setting; there are url, count, share, deep, since, accounts",
    }


def test_faults_quote_no_value() -> None:
    """A wrong value may be a secret that landed in the wrong field."""
    told = sentence(validate(SCHEMA, {"url": "SECRET", "count": "SECRET", "since": "SECRET", "share": ["SECRET"]})[1])

    assert "SECRET" not in told


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string", "format": "url"}, [URL, "http://localhost:80/", ""], NO_URLS),
        ({"type": "string", "format": "uri"}, ["imaps://a", "mailto:a@b"], ["a", ":x", "http: x"]),
        ({"type": "string", "format": "folder"}, ["/a/b", "~/x"], ["a", "~x", "/a\x00b"]),
        ({"type": "string", "format": "password"}, ["anything at all"], [3]),
        ({"type": "string", "pattern": "^[a-z]+$"}, ["abc"], ["Abc", "1"]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "abc"], ["a", "abcd"]),
        ({"type": "string"}, ["x" * TEXT_CHARS_MAX, "ü"], ["x" * (TEXT_CHARS_MAX + 1), 1, True, [], {}, "\ud800"]),
        ({"type": "integer"}, [0, -5, 2**63 - 1, 4.0], [1.5, "1", True, 2**63, float("inf"), float("nan"), 1e300]),
        ({"type": "integer", "minimum": 2, "maximum": 3}, [2, 3], [1, 4]),
        ({"type": "number", "minimum": 0.5}, [0.5, 1], [0.4, float("nan"), "1", False]),
        ({"type": "boolean"}, [True, False], [0, "true"]),
        ({"type": "array", "minItems": 1, "maxItems": 2}, [[1], [1, {"a": None}]], [[], [1, 2, 3], "ab", {"a": 1}]),
        ({"type": "array", "items": {"type": "integer"}}, [[], [1, 2]], [[1, "2"]]),
        ({"type": "object"}, [{}, {"a": [1, {"b": None}]}], [[], "x", {"a": float("nan")}, {"a": "\ud800"}]),
        ({"type": "integer", "enum": [1, 2]}, [1], [3, True]),
    ],
)  # fmt: skip
def test_each_word_of_the_schema(schema: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    """Each keyword lets the right values pass and refuses the wrong ones."""
    assert schema_faults({"x": schema}) == []
    for value in good:
        assert faults_of({"x": schema}, {"x": value}) == {}, value
    for value in bad:
        assert faults_of({"x": schema}, {"x": value}) != {}, value


def test_null_is_not_given() -> None:
    """JSON null counts as left out: the default, or missing."""
    clean, faults = validate(SCHEMA, {"url": None, "count": None})

    assert clean["count"] == 3
    assert faults == [("url", "is missing")]


def test_bounds_are_exact() -> None:
    """The longest list, the deepest value and all settings together pass at the bound and not beyond."""
    free = {"x": {"type": "array"}}
    assert faults_of(free, {"x": [0] * ITEMS_MAX}) == {}
    assert faults_of(free, {"x": [0] * (ITEMS_MAX + 1)}) != {}

    deep: Any = 1
    for _ in range(DEPTH_MAX):
        deep = [deep]
    assert faults_of(free, {"x": deep}) == {}
    assert faults_of(free, {"x": [deep]}) != {}

    long = {"x": {"type": "string", "maxLength": 100_000}, "y": {"type": "integer"}}
    assert faults_of(long, {"x": "x" * (SETTINGS_BYTES_MAX - 3), "y": 1}) == {}
    assert "together" in faults_of(long, {"x": "x" * (SETTINGS_BYTES_MAX - 2), "y": 1})["x"]


def test_the_number_of_faults_is_bounded() -> None:
    """A submission full of rubbish is answered in bounded words."""
    faults = validate({}, {"n" * 500 + str(n): 1 for n in range(FAULTS_MAX + 50)})[1]

    assert len(faults) == FAULTS_MAX
    assert all(len(name) == NAME_CHARS_MAX for name, _what in faults)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["url", "count", "share", "deep", "since", "accounts", "other"])


@given(st.dictionaries(names, json, max_size=7))
def test_any_json_is_answered(values: dict[str, Any]) -> None:
    """Whatever comes is either accepted or named; what is kept is right by itself."""
    clean, faults = validate(SCHEMA, values)
    again, more = validate(SCHEMA, clean)

    assert set(clean) <= set(SCHEMA)
    assert {path.split(".")[0] for path, _what in more} <= {path.split(".")[0] for path, _what in faults}
    if not faults:
        assert (again, more) == (clean, [])


host = st.text(st.characters(codec="utf-8"), min_size=3, max_size=10)
right = st.fixed_dictionaries(
    {"url": st.just(URL)},
    optional={
        "count": st.integers(1, 10),
        "share": st.floats(0, 1),
        "deep": st.booleans(),
        "since": st.sampled_from(["always", "year"]),
        "accounts": st.lists(
            st.fixed_dictionaries({"host": host, "password": host}, optional={"port": st.integers(1, 65535)}),
            max_size=2,
        ),
    },
)


@given(right)
def test_right_settings_pass_unchanged(values: dict[str, Any]) -> None:
    """Nothing that fits is refused or altered; only defaults are added."""
    clean, faults = validate(SCHEMA, values)

    assert faults == []
    assert {name: clean[name] for name in values if name != "accounts"} == {
        name: value for name, value in values.items() if name != "accounts"
    }
    assert [{"port": 993, **account} for account in values.get("accounts", [])] == clean.get("accounts", [])


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ({"type": "string", "secert": True}, "settings.x.secert: is no word of a setting of type string"),
        ({"type": "integer", "pattern": "x"}, "settings.x.pattern: is no word of a setting of type integer"),
        ({"type": "string", "secret": "yes"}, "settings.x.secret: must be bool"),
        ({"type": "string", "format": "email"}, "settings.x.format: 'email' is none of folder, password, uri, url"),
        ({"type": "string", "pattern": "("}, "settings.x.pattern: opens a group that is not closed"),
        ({"type": "string", "pattern": "^(a+)+$", "default": "a" * 48 + "!"}, "settings.x.default: x must match"),
        ({"type": "string", "minLength": True}, "settings.x.minLength: must be int"),
        ({"type": "number", "minimum": "1"}, "settings.x.minimum: must be int or float"),
        ({"type": "string", "required": ["a"]}, "settings.x.required: must be true or false"),
        ({"type": "object", "required": ["a"], "properties": {}}, "settings.x.required: 'a' is no field of it"),
        (
            {"type": "object", "properties": {"a": {"type": "text"}}},
            "settings.x.properties.a: must be a table with a type",
        ),
        ({"type": "array", "items": "string"}, "settings.x.items: must be a table with a type"),
        ({"type": "array", "items": {"type": "string", "enum": "a"}}, "settings.x.items.enum: must be list"),
        ({"type": "integer", "default": "3"}, "settings.x.default: x must be a whole number"),
        ({"type": "string", "secret": True, "default": "p"}, "settings.x.default: a secret has no default"),
    ],
)
def test_faults_of_the_schema(field: dict[str, Any], fault: str) -> None:
    """A slip in a manifest's settings is named with its key; a misspelt `secret` would leave a password open."""
    assert any(found.startswith(fault) for found in schema_faults({"x": field})), schema_faults({"x": field})


def test_a_schema_without_end_is_a_fault() -> None:
    """Levels have a bound, so that no manifest can exhaust the check."""
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(DEPTH_MAX - 1):
        deep = {"type": "array", "items": deep}
    assert schema_faults({"x": deep}) == []

    assert schema_faults({"x": {"type": "array", "items": deep}}) != []


@given(st.dictionaries(st.text(max_size=5), json, max_size=3))
def test_any_schema_is_answered(schema: dict[str, Any]) -> None:
    """Whatever a manifest's author wrote is named, never stumbled over."""
    assert schema_faults(schema) != [] or all(isinstance(field, dict) for field in schema.values())


def test_a_pattern_cannot_keep_a_check_busy() -> None:
    """What a trying engine would chew on for ages is refused at once, and so is more text than settings may hold."""
    schema = {"x": {"type": "array", "items": {"type": "string", "pattern": "^(a+)+$"}}}

    assert [("x.0", "must match ^(a+)+$")] == validate(schema, {"x": ["a" * 48 + "!"]})[1]
    assert [] == validate(schema, {"x": ["a" * 4_000] * 12})[1]
    assert [("x.12", "must match ^(a+)+$")] == validate(schema, {"x": ["a" * 4_000] * 13})[1]


def test_a_text_too_long_for_a_pattern_is_told_so() -> None:
    """Just under the bound it is matched, just over it is refused in words, and without a pattern it is taken."""
    schema = {"x": {"type": "string", "pattern": "^a+é$"}}
    long = "a" * (TEXT_BYTES_MAX - 2) + "é"

    assert [] == validate(schema, {"x": long})[1]
    assert [("x", "must have at most 4096 bytes to be matched with a pattern")] == validate(schema, {"x": "a" + long})[
        1
    ]
    assert [] == validate({"x": {"type": "string"}}, {"x": "a" + long})[1]

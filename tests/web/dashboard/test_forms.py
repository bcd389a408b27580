"""Forms from a settings schema, and settings from a form."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.manifest import parse_manifest
from core.registry import validate
from core.web.dashboard.form_faults import Fault, fault_names, spoken
from core.web.dashboard.forms import ROWS_MAX, Input, inputs, settings_of, typed_of, with_row, without_row
from tests.web.samples import MAIL

MAIL_SETTINGS = parse_manifest(MAIL, "/c/mail").settings
SCHEMA: dict[str, Any] = {
    "name": {"type": "string", "required": True},
    "home": {"type": "string", "format": "url"},
    "count": {"type": "integer", "default": 3, "minimum": 1, "maximum": 9},
    "ratio": {"type": "number"},
    "loud": {"type": "boolean", "default": True},
    "colour": {"type": "string", "enum": ["red", "blue"]},
    "size": {"type": "integer", "enum": [1, 2, 3]},
    "feeds": {"type": "array", "items": {"type": "string", "format": "url"}},
    "numbers": {"type": "array", "items": {"type": "integer"}},
    "proxy": {"type": "object", "properties": {"host": {"type": "string"}, "pass": {"type": "string", "secret": True}}},
    "odd/na~me": {"type": "string"},
}


def by_name(found: list[Input]) -> dict[str, Input]:
    """Every input by its name, nested ones too."""
    return {one.name: one for one in found} | {n: i for one in found for n, i in by_name(list(one.inputs)).items()}


def test_every_kind_of_setting_has_its_input() -> None:
    """Text, address, number, switch, choice, list, group; with names, defaults and bounds."""
    found = by_name(inputs(SCHEMA, typed_of(SCHEMA, {}), {}))

    assert {
        "/name": "text",
        "/home": "url",
        "/count": "number",
        "/ratio": "number",
        "/loud": "checkbox",
        "/colour": "choice",
        "/size": "choice",
        "/feeds": "list",
        "/feeds/0": "url",
        "/numbers": "list",
        "/numbers/0": "number",
        "/proxy": "group",
        "/proxy/host": "text",
        "/proxy/pass": "password",
        "/odd~1na~0me": "text",
    } == {name: one.kind for name, one in found.items()}
    assert ("3", "1", "9", "1") == (
        found["/count"].text,
        found["/count"].least,
        found["/count"].most,
        found["/count"].step,
    )
    assert (True, False, True) == (found["/name"].is_required, found["/home"].is_required, bool(found["/loud"].text))
    assert ("Name", ["1", "2", "3"]) == (found["/name"].title, list(found["/size"].choices))


def test_what_was_typed_becomes_settings() -> None:
    """Numbers are numbers, choices are as they are declared, blanks are left out, lists drop empty rows."""
    typed = {
        "/name": "  Ada ",
        "/home": "",
        "/count": "7",
        "/ratio": "1.5",
        "/colour": "blue",
        "/size": "2",
        "/feeds/0": "https://a.example/",
        "/feeds/0/@row": "",
        "/feeds/1": "",
        "/feeds/1/@row": "",
        "/feeds/12": "https://b.example/",
        "/feeds/@lines": "https://c.example/\n\n  https://d.example/ \n",
        "/numbers/0": "5",
        "/proxy/host": "p",
        "/proxy/pass": " s ",
        "/odd~1na~0me": "x",
        "@add": "",
        "unknown": "y",
    }

    assert {
        "name": "Ada",
        "count": 7,
        "ratio": 1.5,
        "loud": False,
        "colour": "blue",
        "size": 2,
        "feeds": ["https://a.example/", "https://b.example/", "https://c.example/", "https://d.example/"],
        "numbers": [5],
        "proxy": {"host": "p", "pass": " s "},
        "odd/na~me": "x",
    } == settings_of(SCHEMA, typed)


@pytest.mark.parametrize("text", ["seven", "1e999", "nan", "1.5", "--", "٣x"])
def test_what_is_no_number_stays_text(text: str) -> None:
    """The check then names it, and the form shows it again."""
    assert text == settings_of({"n": {"type": "integer"}}, {"/n": text})["n"]


settings = st.fixed_dictionaries(
    {
        "loud": st.booleans(),
        "feeds": st.lists(st.from_regex(r"https://[a-z]{1,8}\.example/", fullmatch=True), max_size=4, unique=True),
        "numbers": st.lists(st.integers(-(2**60), 2**60), max_size=3),
    },
    optional={
        "name": st.from_regex(r"[a-z]([a-z ]{0,8}[a-z])?", fullmatch=True),
        "count": st.integers(1, 9),
        "ratio": st.floats(allow_nan=False, allow_infinity=False),
        "colour": st.sampled_from(["red", "blue"]),
        "size": st.sampled_from([1, 2, 3]),
    },
)


@given(settings)
def test_a_form_gives_back_what_it_was_filled_with(values: dict[str, Any]) -> None:
    """Shown and sent without a change, nothing changes; defaults are filled in."""
    again = settings_of(SCHEMA, typed_of(SCHEMA, values))

    assert {"count": 3, "proxy": {}, **values} == again


@given(
    st.dictionaries(
        st.text(max_size=12) | st.sampled_from(["/feeds/0", "/feeds/0/@row", "/proxy/pass/@sealed", "@add"]),
        st.text(max_size=9),
    )
)
def test_no_form_breaks_it(typed: dict[str, str]) -> None:
    """Whatever names and values come: settings that can be judged, and a form that can be shown."""
    found = settings_of(SCHEMA, typed)
    validate(SCHEMA, found)

    assert inputs(
        SCHEMA, with_row(without_row(typed, typed.get("@remove", "/feeds/0")), typed.get("@add", "/feeds")), {}
    )


def test_rows_come_and_go() -> None:
    """Added at the end; the rows after a removed one move up with all they hold."""
    typed = {"/a/0": "zero", "/a/1/x": "one", "/a/1/@row": "", "/a/2/x": "two", "/a/10/x": "ten", "/ab/1": "other"}

    assert {**typed, "/a/11/@row": "", "@focus": "/a/11"} == with_row(typed, "/a")
    assert {"/a/0": "zero", "/a/1/x": "two", "/a/9/x": "ten", "/ab/1": "other"} == without_row(typed, "/a/1")
    assert {"/b/0/@row": "", "@focus": "/b/0"} == with_row({}, "/b")


@pytest.mark.parametrize("name", ["", "/a", "/a/x", "/a/-1", "/a/99999999", "a", "/"])
def test_removing_what_is_no_row_changes_nothing(name: str) -> None:
    """A name from outside may be anything."""
    assert {"/a/0": "x"} == without_row({"/a/0": "x"}, name)


def test_rows_are_bounded() -> None:
    """A thousand, and not one more."""
    typed = {f"/a/{number}": "x" for number in range(ROWS_MAX - 1)}
    full = with_row(typed, "/a")

    assert (ROWS_MAX, ROWS_MAX) == (len(full) - 1, len(with_row(full, "/a")) - 1)


def test_a_new_row_has_its_defaults_and_counts_only_when_used() -> None:
    """Port 993 stands there from the start; a row that nobody filled in is none."""
    fresh = with_row({"/accounts/0/host": "h", "/accounts/0/port": "", "/accounts/0/@row": ""}, "/accounts")
    shown = by_name(inputs(MAIL_SETTINGS, fresh, {}))
    sent = {name: one.text for name, one in shown.items() if one.kind not in ("list", "group", "checkbox")}

    assert ("", "993") == (shown["/accounts/0/port"].text, shown["/accounts/1/port"].text)
    assert [{"host": "h"}] == settings_of(MAIL_SETTINGS, sent)["accounts"]


def test_secrets_are_never_in_the_form() -> None:
    """A mark stands for each, travels with its row, and can be replaced or cleared."""
    stored = {
        "accounts": [
            {"host": "a", "password": {"sealed": "/accounts/0/password"}},
            {"host": "b", "password": {"sealed": "/accounts/1/password"}},
        ],
        "token": {"sealed": "/token"},
    }
    typed = typed_of(MAIL_SETTINGS, stored)
    shown = by_name(inputs(MAIL_SETTINGS, typed, {}))
    moved = settings_of(MAIL_SETTINGS, without_row(typed, "/accounts/0"))
    replaced = settings_of(MAIL_SETTINGS, {**typed, "/accounts/0/password": "new"})
    cleared = settings_of(MAIL_SETTINGS, {**typed, "/token/@clear": "on"})

    assert ("", True) == (shown["/token"].text, shown["/token"].has_secret)
    assert [{"host": "b", "port": 993, "password": {"sealed": "/accounts/1/password"}}] == moved["accounts"]
    assert "new" == replaced["accounts"][0]["password"]
    assert "token" not in cleared


def test_faults_stand_beside_their_inputs() -> None:
    """By dotted path or by pointer."""
    faults = fault_names(
        MAIL_SETTINGS, {"/accounts/0/host": "h"}, [("accounts.0.host", "is missing"), ("/token", "is too long")]
    )
    shown = by_name(inputs(MAIL_SETTINGS, {"/accounts/0/@row": ""}, faults))

    assert ("is missing", "is too long", "") == (
        shown["/accounts/0/host"].fault,
        shown["/token"].fault,
        shown["/since"].fault,
    )


def test_a_line_of_many_is_named_by_its_number() -> None:
    """Rows that nobody filled in, and lines that say nothing new, do not shift the faults; all that was typed stays."""
    typed = {"/feeds/0": "", "/feeds/1": "x", "/feeds/@lines": "https://a.example\n\ny\nhttps://a.example\nz"}
    assert ["x", "https://a.example", "y", "z"] == settings_of(SCHEMA, typed)["feeds"]
    faults = fault_names(SCHEMA, typed, [(f"feeds.{n}", "is no address") for n in (0, 2, 3)])
    shown = by_name(inputs(SCHEMA, typed, faults))

    assert {
        "/feeds/1": "is no address",
        "/feeds/@lines": "Line 3, y: is no address\nLine 5, z: is no address",
    } == faults
    assert (typed["/feeds/@lines"], faults["/feeds/@lines"]) == (shown["/feeds"].lines, shown["/feeds"].lines_fault)


def test_the_same_address_counts_once() -> None:
    """In rows or in lines; other texts may be said twice in rows."""
    words = {"words": {"type": "array", "items": {"type": "string"}}}
    twice = {"/feeds/0": "https://a.example", "/feeds/1": "https://a.example", "/words/0": "a", "/words/1": "a"}

    assert ["https://a.example"] == settings_of(SCHEMA, twice)["feeds"]
    assert ["a", "a"] == settings_of(words, {**twice, "/words/@lines": "a\nb\nb"})["words"][:2]
    assert ["a", "a", "b"] == settings_of(words, {**twice, "/words/@lines": "a\nb\nb"})["words"]


def test_faults_are_told_by_titles() -> None:
    """As a person reads them on the form, in its order."""
    faults = {"/token": "is too long", "/accounts/0/host": "is missing", "@id": "is taken", "/accounts": "has few"}
    found = spoken(inputs(MAIL_SETTINGS, {"/accounts/0/@row": ""}, faults), faults)

    assert [
        Fault("Accounts", "has few", "f-accounts"),
        Fault("Accounts 1, Server", "is missing", "f-accounts-0-host"),
        Fault("App token", "is too long", "f-token"),
        Fault("Id", "is taken"),
    ] == found


def test_a_new_row_has_the_focus() -> None:
    """In a group its first input; and nothing else has it."""
    for schema, name, wanted in ((MAIL_SETTINGS, "/accounts", "/accounts/1/host"), (SCHEMA, "/feeds", "/feeds/1")):
        shown = by_name(inputs(schema, with_row({f"{name}/0/@row": ""}, name), {}))

        assert [wanted] == [n for n, one in shown.items() if one.has_focus and one.kind != "group"]


def test_required_may_be_said_in_either_way() -> None:
    """By the object's list, or by the field itself."""
    schema = {
        "o": {
            "type": "object",
            "required": True,
            "properties": {"a": {"type": "string", "required": True}, "b": {"type": "string"}},
        },
        "p": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}},
    }
    shown = by_name(inputs(schema, {}, {}))

    assert [True, True, False, False, True] == [
        shown[name].is_required for name in ("/o", "/o/a", "/o/b", "/p", "/p/a")
    ]

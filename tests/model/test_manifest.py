"""connector.toml, read once and with every fault named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.errors import ManifestInvalid
from core.model.ids import ID_RULE
from core.model.manifest import Limits, Manifest, StreamSpec, parse_manifest

FULL = """
name = "github"
title = "GitHub"
description = "Repositories and stars"
is = "connector"
version = "1.2"
provides = ["repo/github", "contact"]
run = "node 'my connector.js' --quiet"
requires = ["pygments==2.19"]
writer = "child"
uses = ["contact", "post/mastodon"]

[types.repo]
key = "node_id"
time = "updated_at"
title = "full_name"
text = ["description"]
index = ["stars"]
volatile = ["watchers"]
common = { link = "html_url", author = "owner.login" }

[types.star]

[streams.repo]
title = "Repositories"
types = ["repo", "star"]
frequency = "30m"

[streams.star]

[settings.urls]
type = "array"
items = { type = "string" }

[auth]
kind = "oauth2"
scopes = ["repo"]

[events]
contact = "/contacts"

[doors]
paths = ["/api"]

[limits]
start_timeout_s = 5
resident = true
memory_mb = 256
reads = ["/proc", { setting = "folder" }]
hosts = ["api.github.com"]
"""


def test_every_key_is_read() -> None:
    """A manifest with all keys gives a value with all fields."""
    manifest = parse_manifest(FULL, "/c/github")

    assert ("node", "my connector.js", "--quiet") == manifest.run
    assert (
        StreamSpec(name="repo", title="Repositories", types=("repo", "star"), frequency_s=1800)
        == manifest.streams["repo"]
    )
    assert StreamSpec(name="star", title="star", types=("star",), frequency_s=3600) == manifest.streams["star"]
    assert {"link": "html_url", "author": "owner.login"} == manifest.types["repo"].common
    assert ("node_id", ("watchers",), "oauth2") == (
        manifest.types["repo"].key,
        manifest.types["repo"].volatile,
        manifest.auth_kind,
    )
    assert {"contact": "/contacts"} == manifest.events
    assert ("/proc", {"setting": "folder"}) == manifest.limits.reads
    assert (5.0, True, 256 * 1024 * 1024) == (
        manifest.limits.start_timeout_s,
        manifest.limits.resident,
        manifest.limits.memory_bytes,
    )
    assert ("/c/github", False) == (manifest.folder, manifest.is_python)


def test_defaults_need_only_a_name_and_a_title() -> None:
    """Two lines make a connector."""
    manifest = parse_manifest('name = "x"\ntitle = "X"', "/c/x")

    assert Manifest(name="x", title="X", folder="/c/x", limits=Limits()) == manifest
    assert manifest.is_python


def test_network_comes_from_provides_else_the_name() -> None:
    """`repo/github` names the network; a type that provides does not name lives on the connector's own."""
    manifest = parse_manifest(FULL, "/c/github")

    assert ("github", "github") == (manifest.network_of("repo"), manifest.network_of("star"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("title = 'X'", "name: is missing"),
        ("name = 'x'", "title: is missing"),
        ("name = 'Owner'\ntitle = 'X'", "name: must be lower case"),
        ("name = 'owner'\ntitle = 'X'", "name: must be lower case"),
        ("name = 'x'\ntitle = 3", "title: must be text"),
        ("colour = 'red'", "colour: is not a key of connector.toml"),
        ("is = 'app'", "is: 'app' is none of connector, collection"),
        ('run = "python \'x"', "run: cannot be split"),
        ("run = ''", "run: must name a command"),
        ("provides = ['Repo/x']", "provides: 'Repo/x' is not allowed here"),
        ("provides = [1]", "provides: must be a list of texts"),
        ("[types.Repo]", "types.Repo: a type's name"),
        ("[types.repo]\nkeys = 'id'", "types.repo.keys: is not a key"),
        ("[types.repo]\nindex = ['a\"b']", "types.repo.index: 'a\"b' is not allowed here"),
        ("[types.repo.common]\ncolour = 'x'", "types.repo.common.colour: is no shared field"),
        ("[types.repo.common]\nlink = 3", "types.repo.common.link: must be a dotted path"),
        ("[streams.repo]", "streams.repo.types: 'repo' is not declared under [types]"),
        ("[types.a]\n[streams.a]\nfrequency = 'often'", "streams.a.frequency: 'often' is not a number"),
        ("[types.a]\n[streams.a]\nfrequency = '0s'", "streams.a.frequency: '0s' is not a number"),
        ("[streams]\na = 3", "streams.a: must be a table"),
        ("[settings]\nurls = 'x'", "settings.urls: must be a table with at least a type"),
        ("[settings.urls]\ntype = 'list'", "settings.urls.type: 'list' is not a JSON schema type"),
        ("[auth]\nkind = 'magic'", "auth.kind: 'magic' is none of"),
        ("[auth]\nkind = 3", "auth.kind: must be text"),
        ("[auth]\nkind = 'token'\nscopes = ['x']", "auth.scopes: is not a key"),
        ("auth = 'token'", "auth: must be a table"),
        ("features = 'import'", "features: must be a table"),
        ("[features]\nimport = '/x'", "features.import: must be a table"),
        ("[features.import]\ntitle = 'T'", "features.import.path: is missing"),
        ("[features.export]\npath = '/x'", "features.export.title: is missing"),
        ("[features.export]\npath = '/x'\ntitle = ' '", "features.export.title: must be text"),
        ("[features.import]\npath = 7", "features.import.path: must be text"),
        ("[features.import]\npath = 'x'", "features.import.path: must be a path"),
        ("[features.import]\npath = '/'", "features.import.path: must be a path"),
        ("[features.import]\npath = '/a/../b'", "features.import.path: must be a path"),
        ("[features.export]\npath = '/a?b'", "features.export.path: must be a path"),
        ("[features.import]\naccept = '<'", "features.import.accept: must be endings"),
        ("[features.import]\naccept = ['.xml']", "features.import.accept: must be text"),
        ("[features.import]\nicon = 'x'", "features.import.icon: is not a key"),
        ("[features.export]\naccept = '.xml'", "features.export.accept: is not a key"),
        ("[events]\ncontact = 'contacts'", "events.contact: must be a callback path"),
        ("[doors]\npaths = ['/../x']", "doors.paths: '/../x' is not allowed here"),
        ("[limits]\nstart_timeout_s = 0", "limits.start_timeout_s: must be a number from 0.1 to 600"),
        ("[limits]\nresident = 'yes'", "limits.resident: must be true or false"),
        ("[limits]\nreads = ['proc']", "limits.reads: must be a list of absolute folders"),
        ("[limits]\nspeed = 1", "limits.speed: is not a key"),
        ("writer = 'both'", "writer: 'both' is none of child, core"),
        ("name = ", "connector.toml:"),
    ],
)
def test_every_fault_is_named_with_its_key(text: str, fault: str) -> None:
    """The author reads which key is wrong and what it must be."""
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest(text, "/c/x")

    assert [f for f in caught.value.faults if f.startswith(fault)], caught.value.faults
    assert "/c/x/connector.toml" in str(caught.value)


def test_a_name_that_is_none_leads_to_one_that_is() -> None:
    """The rule, and what would do."""
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest("name = 'My_Notes'\ntitle = 'X'", "/c/x")

    assert (f"name: must be {ID_RULE}, and no reserved word, for example 'my-notes'",) == caught.value.faults


def test_features_are_kept_as_they_are_declared() -> None:
    """The two that are known are checked; other names are kept free."""
    text = (
        "name = 'x'\ntitle = 'X'\n[features.import]\npath = '/list'\ntitle = 'Load'\n"
        "[features.export]\npath = '/list'\ntitle = 'Save'\n[features.later]\nanything = 1\n"
    )

    assert {
        "import": {"path": "/list", "title": "Load"},
        "export": {"path": "/list", "title": "Save"},
        "later": {"anything": 1},
    } == parse_manifest(text, "/c/x").features


def test_all_faults_come_at_once() -> None:
    """One reading shows everything there is to mend."""
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest("colour = 1\n[limits]\nresident = 2\n[events]\nx = 3", "/c/x")

    assert 5 == len(caught.value.faults)


def test_further_faults_come_with_the_first() -> None:
    """Whoever knows more of what a manifest may say adds to the list, even where there are faults already."""
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest("colour = 1\ntitle = 'T'", "/c/x", further=lambda manifest: [f"title: {manifest.title}!"])

    assert ("name: is missing", "colour: is not a key of connector.toml", "title: T!") == caught.value.faults


@pytest.mark.parametrize("value", ["[" * 10_000, "{a=" * 10_000, "9" * 5000])
def test_a_value_too_large_or_too_deep_is_a_fault(value: str) -> None:
    """What the reader of TOML gives up on, in whatever way, is told as a fault of the file."""
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest(f"name = 'x'\ntitle = 'X'\nversion = {value}", "/c/x")

    assert ("connector.toml: holds a value that is too large or too deep",) == caught.value.faults


@given(st.text(max_size=200))
def test_any_text_is_a_manifest_or_has_faults(text: str) -> None:
    """No text makes the parser fail in another way."""
    with pytest.raises(ManifestInvalid) as caught:
        parse_manifest(text, "/c/x")

    assert caught.value.faults

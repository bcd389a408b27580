"""Who wanted what, and a fact as an event."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import matches
from core.events.match import covering, event_of, names_network, names_of, typed_names_of, types_of, wanted_name
from core.model.errors import BadRequest
from core.model.event import Idr
from core.model.fact import Fact

TWEET = Idr("tweet", "twitter", "timeline", "me", "1039")
PART = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAME = PART.filter(bool)
FACT = Fact(
    seq=7,
    id="0190",
    type="contact",
    key="a/b",
    action="put",
    value={"id": "a/b", "name": "Ada"},
    common={"title": "Ada"},
    value_hash="00",
    causation=None,
    transaction_time=1.0,
    valid_time=None,
    schema_version=1,
    producer={"stream": "friends"},
    derivation=None,
    origin="device/uid",
    origin_epoch=1,
    origin_seq=7,
    known_at=2.0,
    rev=(1, 0),
    recorded_at=3.0,
)


@pytest.mark.parametrize(
    "wanted",
    ["tweet", "tweet/twitter", "timeline", "timeline/twitter", "tweet://twitter/timeline", "tweet://twitter",
     "tweet://twitter/"],
)  # fmt: skip
def test_the_six_forms(wanted: str) -> None:
    """An address is wanted by each of its six names, and the network's slash is no matter."""
    assert matches(wanted, TWEET)


@pytest.mark.parametrize(
    "wanted",
    ["twitter", "twee", "tweets", "Tweet", "tweet/facebook", "timeline/facebook", "tweet://facebook",
     "tweet://twitter/mentions", "contact", "me", "1039", "twitter/timeline", "twitter/tweet"],
)  # fmt: skip
def test_other_names_do_not_match(wanted: str) -> None:
    """Parts of names, other networks, account and key are no names of it."""
    assert not matches(wanted, TWEET)


def test_four_names_begin_with_the_type() -> None:
    """The type alone, with its network, and with the stream that brought it; not the stream by itself."""
    typed = {"tweet", "tweet/twitter", "tweet://twitter", "tweet://twitter/timeline"}

    assert typed == typed_names_of(TWEET)
    assert {"timeline", "timeline/twitter"} == names_of(TWEET) - typed


def test_without_a_context_there_are_three_names() -> None:
    """An address without a context is not wanted by an empty one."""
    assert {"tweet", "tweet/twitter", "tweet://twitter"} == names_of(Idr("tweet", "twitter"))


@pytest.mark.parametrize(
    "wanted", ["", "a/b/c", "/a", "a/", "a?id=x", "a#b", "://x", "a://", "%FF", "a/%FF", "a" * 513]
)
def test_what_nobody_can_want(wanted: str) -> None:
    """Addresses of single records, empty parts, wrong UTF-8 and endless texts are refused."""
    with pytest.raises(BadRequest):
        wanted_name(wanted)


@given(NAME, NAME, PART, PART, PART)
def test_idr_awkward_parts(kind: str, network: str, context: str, account: str, key: str) -> None:
    """Whatever letters its parts hold, an address read from its text has the same names, each in normal form."""
    idr = Idr(kind, network, context, account, key)

    assert names_of(idr) == names_of(Idr.parse(str(idr)))
    assert names_of(idr) == {wanted_name(name) for name in names_of(idr)}


@given(NAME, NAME)
def test_capitals_and_underscores_are_kept(kind: str, network: str) -> None:
    """Two addresses share a name only if they share the part."""
    other = Idr(kind + "_X", network)

    assert names_of(other).isdisjoint(names_of(Idr(kind, network)))


def test_a_raw_and_an_encoded_name_are_the_same() -> None:
    """A person may write My Data, a program My%20Data."""
    idr = Idr("My Data", "push")

    assert matches("My Data", idr) and matches("My%20Data/push", idr) and matches("My%20Data://push", idr)


@given(NAME, NAME, NAME)
def test_a_covering_name_hears_all_that_the_wanted_one_does(kind: str, network: str, context: str) -> None:
    """Each name that would allow a wish matches every address that the wish matches."""
    idr = Idr(kind, network, context)

    for wanted in names_of(idr):
        assert set(covering(wanted)) <= names_of(idr) | {covering(wanted)[-1]}
        assert all(matches(name, idr) for name in covering(wanted))


def test_names_that_say_whose() -> None:
    """A name with a network says whose events are meant."""
    assert [False, True, True] == [names_network(name) for name in ("contact", "contact/github", "contact://github")]
    assert ("tweet", "tweet/twitter") == types_of(TWEET)


def test_a_fact_as_an_event() -> None:
    """The first version is new, the next an update with what it replaced, a tombstone a deletion."""
    before = msgspec.structs.replace(FACT, seq=3, value={"id": "a/b", "name": "Grace"})
    tombstone = msgspec.structs.replace(FACT, action="delete", value={}, common={})
    told = {"service_id": "git", "network": "github", "account": "7"}

    new, update = event_of(FACT, None, **told), event_of(FACT, before, **told)
    delete, back = event_of(tombstone, before, **told), event_of(FACT, tombstone, **told)

    assert ["new", "update", "delete", "new"] == [each.action for each in (new, update, delete, back)]
    assert [None, before.value, before.value, None] == [each.before for each in (new, update, delete, back)]
    assert "contact://github/friends?id=7#a%2Fb" == new.idr
    assert ("0190", "git", "contact", "a/b", 7, 3.0) == (new.id, new.service, new.type, new.key, new.seq, new.at)
    assert ({"id": "a/b", "name": "Ada"}, {"title": "Ada"}) == (update.value, update.common)


@pytest.mark.parametrize("producer", [None, {}, {"stream": 7}])
def test_a_fact_of_no_stream_has_no_context(producer: dict[str, object] | None) -> None:
    """What was stored outside a stream is addressed by type, network and key alone."""
    fact = msgspec.structs.replace(FACT, producer=producer)

    event = event_of(fact, None, service_id="git", network="github", account="7")

    assert "contact://github/?id=7#a%2Fb" == event.idr

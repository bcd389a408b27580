"""The framed log and snapshot: every fact with every field, and behind any damage the next whole one."""

from __future__ import annotations

import hashlib
import io
import json
import random
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model.errors import BadRequest, FormatTooNew
from core.model.fact import Fact
from core.model.frames import OVERHEAD_BYTES, encode_frame
from core.store.exchange.framed import DAMAGES_TOLD_MAX, FramedFile, FramedReport, framed_snapshot, wire_form


def fact(number: int, **changes: Any) -> Fact:
    """Some fact."""
    made = Fact(
        seq=number, id=f"id-{number}", type="tasks", key=f"k{number}", action="put", value={"n": number}, common={},
        value_hash=hashlib.sha256(b"%d" % number).hexdigest(), causation=None, transaction_time=1.5, valid_time=None,
        schema_version=1, producer=None, derivation=None, origin="d/s", origin_epoch=1, origin_seq=number,
        known_at=1.5, rev=(0, number), recorded_at=2.5,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


FACTS = [fact(n) for n in range(1, 12)]


def snapshot(facts: list[Fact], *, count: int | None = None) -> bytes:
    """A snapshot of ours."""
    said = len(facts) if count is None else count
    return b"".join(
        framed_snapshot(facts, fact_count=said, written_at=3.0, store_epoch="ab", first_seq=1, last_seq=len(facts))
    )


def log(facts: list[Fact]) -> bytes:
    """A log as the incumbent writes it."""
    return b"".join(encode_frame(json.dumps(incumbent(one)).encode()) for one in facts)


def incumbent(one: Fact) -> dict[str, Any]:
    """A fact with the names of the incumbent's first versions."""
    return {
        "id": one.id, "store": one.type, "key": one.key, "value": one.value, "value_hash": one.value_hash,
        "causation": None, "timestamp": one.transaction_time, "term": 0, "schema_version": 1,
    }  # fmt: skip


def read(data: bytes) -> tuple[list[dict[str, Any]], FramedReport]:
    """What a file holds, and what is said of it."""
    framed = FramedFile(io.BytesIO(data), size=len(data), name="x.wal")
    return list(framed), framed.report


def test_each_fact_is_told_with_its_size() -> None:
    """By it whoever takes them in knows how many to hold at once."""
    data = log(FACTS)
    framed = FramedFile(io.BytesIO(data), size=len(data), name="x.wal")

    assert len(data) == sum(framed.fact_bytes + OVERHEAD_BYTES for _ in framed)


def test_a_snapshot_gives_back_every_field() -> None:
    """And says that it is whole."""
    found, report = read(snapshot(FACTS))

    assert [json.loads(msgspec.json.encode(wire_form(one))) for one in FACTS] == found
    assert ("snapshot", 11, 11, True) == (report.kind, report.facts, report.declared, report.is_whole)


def test_the_incumbent_s_names_stand_first_in_its_order() -> None:
    """A Ruby client finds its own fields where it looks for them."""
    assert [
        "id", "store", "key", "value", "value_hash", "causation", "transaction_time", "valid_time", "schema_version",
        "producer", "derivation",
    ] == list(wire_form(FACTS[0]))[:11]  # fmt: skip
    assert ["seq", "recorded_at"] == list(wire_form(FACTS[0]))[-2:]


def test_a_log_of_the_incumbent_is_read() -> None:
    """Without header or trailer it is whole as far as it goes."""
    found, report = read(log(FACTS))

    assert [incumbent(one) for one in FACTS] == found
    assert ("log", None, True) == (report.kind, report.declared, report.is_whole)


def test_a_snapshot_of_the_incumbent_is_judged_by_its_count() -> None:
    """Its header has no format and there is no trailer: the number of facts is all that can be compared."""
    header = encode_frame(json.dumps({"type": "snapshot_header", "fact_count": 11, "written_at": 1.0}).encode())

    assert read(header + log(FACTS))[1].is_whole
    assert read(header + log(FACTS[:5]))[1].is_partial


def test_a_snapshot_cut_anywhere_is_partial_and_gives_what_is_whole() -> None:
    """At every byte: the facts wholly inside, and never in silence. S1, S3."""
    whole = snapshot(FACTS)
    ends, place = [], 0
    for frame in framed_snapshot(FACTS, fact_count=11, written_at=3.0, store_epoch="ab", first_seq=1, last_seq=11):
        place += len(frame)
        ends.append(place)
    for length in range(ends[0], len(whole)):
        found, report = read(whole[:length])
        assert sum(end <= length for end in ends) - 1 == len(found)
        assert report.is_partial, length
    assert not read(whole)[1].is_partial


def test_a_log_cut_anywhere_tells_its_torn_tail() -> None:
    """A log has no end of its own, so only bytes that make no frame can be told."""
    whole = log(FACTS[:3])
    size = len(whole) // 3
    for length in range(len(whole) + 1):
        found, report = read(whole[:length])
        assert length // size == len(found)
        assert length % size == report.bytes_skipped
        assert (length % size != 0) == (not report.is_whole)


def test_every_flipped_bit_is_told() -> None:
    """One bit costs at most the fact that it stands in, and whatever it costs is counted. S2."""
    whole = log(FACTS[:4])
    size = len(whole) // 4
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << random.Random(place).randrange(8)
        found, report = read(bytes(flipped))
        assert [1, 2, 3, 4][: place // size] + [1, 2, 3, 4][place // size + 1 :] == [one["value"]["n"] for one in found]
        assert size == report.bytes_skipped
        assert [(place // size * size, size)] == [(damage.at, damage.bytes) for damage in report.damages]


@settings(deadline=None, max_examples=60)
@given(noise=st.lists(st.tuples(st.integers(0, 10), st.binary(min_size=1, max_size=200)), max_size=4))
def test_noise_between_frames_costs_none_of_them(noise: list[tuple[int, bytes]]) -> None:
    """Whatever was written in between, every whole frame is found."""
    frames = [encode_frame(msgspec.json.encode(wire_form(one))) for one in FACTS]
    parts, added = [], 0
    for number, frame in enumerate(frames):
        for place, junk in noise:
            if place == number:
                parts.append(junk)
                added += len(junk)
        parts.append(frame)

    found, report = read(b"".join(parts))

    numbers = [one["value"]["n"] for one in found if one.get("id", "").startswith("id-")]
    assert [one.seq for one in FACTS] == numbers
    assert report.bytes_skipped <= added


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=2000))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Noise ends as a report, or is refused as another codec."""
    try:
        found, report = read(data)
    except (BadRequest, FormatTooNew):
        return
    assert len(found) == report.facts


def test_another_codec_is_refused_naming_both() -> None:
    """MessagePack by its bytes, any other by the header's own word. S19."""
    packed = encode_frame(msgspec.msgpack.encode({"store": "readings", "fields": ["a"]}))
    with pytest.raises(BadRequest, match=r"MessagePack.*json"):
        read(packed)
    header = {"type": "snapshot_header", "fact_count": 0, "written_at": 1.0, "codec": "compact_delta_zlib"}
    with pytest.raises(BadRequest, match=r"compact_delta_zlib.*json"):
        read(encode_frame(json.dumps(header).encode()))


def test_a_newer_format_is_refused() -> None:
    """Before a fact of it is read."""
    header = {"type": "snapshot_header", "fact_count": 0, "written_at": 1.0, "codec": "json", "format": 2}
    with pytest.raises(FormatTooNew):
        read(encode_frame(json.dumps(header).encode()))


def test_a_body_that_is_no_object_is_counted() -> None:
    """The frame is whole, what is in it is not: the others go on."""
    found, report = read(encode_frame(b"[1]") + encode_frame(b"{nonsense}") + log(FACTS[:1]))

    assert (1, 2, False) == (len(found), report.unreadable, report.is_whole)


def test_a_fact_of_a_type_called_like_a_header_is_a_fact() -> None:
    """What has a key is a record, whatever it calls itself."""
    odd = {**incumbent(FACTS[0]), "type": "snapshot_trailer"}

    assert [odd] == read(encode_frame(json.dumps(odd).encode()))[0]


def test_a_file_made_of_lookalikes_ends_in_time() -> None:
    """Bytes that look like frames everywhere: given up, and said so."""
    data = b"\x00\x3f\xff\xfb{}}}" * 3_000_000
    started = time.monotonic()

    found, report = read(data)

    assert [] == found
    assert report.is_search_spent
    assert len(data) == report.bytes_skipped
    assert time.monotonic() - started < 60


def test_only_the_first_damages_are_listed() -> None:
    """All are counted."""
    data = b"".join(b"\xff" * 9 + encode_frame(b'{"key":"a"}') for _ in range(DAMAGES_TOLD_MAX + 5))

    found, report = read(data)

    assert DAMAGES_TOLD_MAX + 5 == len(found)
    assert DAMAGES_TOLD_MAX == len(report.damages)
    assert 9 * (DAMAGES_TOLD_MAX + 5) == report.bytes_skipped

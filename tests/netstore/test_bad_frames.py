"""Golden bytes both ways, and what each bad frame gets."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.model.frames import encode_frame
from core.netstore import ServerLimits
from tests.contracts.waiting import wait_until
from tests.netstore.served import Bare, Served

PING = bytes.fromhex("0000000d7b226f70223a2270696e67227df369e448")
PONG = bytes.fromhex("000000177b226f6b223a747275652c22706f6e67223a747275657dce87e230")
WRITE = (
    b'{"fact":{"id":"00000000-0000-4000-8000-000000000001","store":"tasks","key":"t1","value":{"title":"Hello",'
    b'"status":"open","n":1},"value_hash":"657fefd933bb4aef9741f77cb8387424adc2590e6b90be5d6e8e9e0dc04bbf9b",'
    b'"causation":null,"transaction_time":1700000000.25,"valid_time":null,"schema_version":1,"producer":null,'
    b'"derivation":null},"op":"write_fact"}'
)


def test_golden_ping(bare: Bare) -> None:
    """The very bytes of the reference, there and back."""
    bare.socket.sendall(PING)

    assert PONG == bare.socket.recv(100)


def test_golden_write_and_replay(bare: Bare) -> None:
    """The reference's write is stored; replayed, its fields stand in the reference's order, ours last."""
    frame = b"\x00\x00\x01\x5c" + WRITE + bytes.fromhex("fa712b93")
    bare.socket.sendall(frame)
    written = bare.reply()
    bare.send({"op": "replay"})
    body = bare.body()

    assert (True, 1, False) == (written["ok"], written["seq"], written["duplicate"])
    fact = WRITE[len(b'{"fact":') : -len(b',"op":"write_fact"}')]
    assert b'{"ok":true,"facts":[' + fact[:-1] + b',"seq":1,"recorded_at":1700000000.0}]}' == body


def test_s14_end_before_a_header_is_a_clean_end(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged about who merely hangs up."""
    caplog.set_level(logging.INFO, logger="core.netstore")
    bare = served.bare()
    bare.ask(op="ping")
    bare.socket.close()
    wait_until(lambda: served.server.connections == 0)

    assert [] == [line for line in caplog.messages if "frame" in line]


@pytest.mark.parametrize("cut", [1, 3, 4, 10, len(PING) - 4, len(PING) - 1])
def test_s14_end_inside_a_frame_is_logged(served: Served, caplog: pytest.LogCaptureFixture, cut: int) -> None:
    """Header, body or checksum: the log tells how much was there."""
    caplog.set_level(logging.INFO, logger="core.netstore")
    bare = served.bare()
    bare.socket.sendall(PING[:cut])
    bare.socket.close()

    wait_until(lambda: any("fault=truncated_frame" in line and f"have={cut}" in line for line in caplog.messages))


@pytest.mark.parametrize("length", [8 * 1024 * 1024 + 1, 0xFFFFFFFF])
def test_s14_a_frame_too_large_is_refused_by_its_header(bare: Bare, length: int) -> None:
    """The body is not waited for."""
    bare.socket.sendall(struct.pack(">I", length))
    reply = bare.reply()

    assert (False, "frame_too_large", 8 * 1024 * 1024) == (reply["ok"], reply["error_code"], reply["max_frame"])
    assert bare.is_closed()


def test_a_frame_of_the_greatest_size_is_taken(serve: Callable[..., Served]) -> None:
    """Just at the bound it is read, one byte over it is not."""
    bare = serve(limits=ServerLimits(frame_bytes_max=1000)).bare()
    body = b'{"op":"ping","x":"%s"}' % (b"a" * 980)
    assert 1000 == len(body)
    bare.socket.sendall(encode_frame(body))
    fits = bare.reply()
    bare.socket.sendall(encode_frame(body + b" "))

    assert {"ok": True, "pong": True} == fits
    assert "frame_too_large" == bare.reply()["error_code"]


def test_s14_a_wrong_checksum_is_refused_and_ends(bare: Bare) -> None:
    """What stood before it is answered first."""
    bare.socket.sendall(PING + PING[:-1] + b"\x00" + PING)
    replies = [bare.reply(), bare.reply()]

    assert [True, False] == [reply["ok"] for reply in replies]
    assert "bad_crc" == replies[1]["error_code"]
    assert bare.is_closed()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b'{"op":"ping","x":NaN}', "bad_json"),
        (b'{"op":"ping","op":"close"}', "bad_json"),
        (b'{"op":"\xff"}', "bad_json"),
        (b"[]", "not_an_object"),
        (b"3", "not_an_object"),
    ],
)
def test_s14_a_bad_body_keeps_the_connection(bare: Bare, body: bytes, code: str) -> None:
    """Its frame was whole, so the next one can be trusted."""
    bare.socket.sendall(encode_frame(body) + PING)
    refused, pong = bare.reply(), bare.reply()

    assert (False, code) == (refused["ok"], refused["error_code"])
    assert {"ok": True, "pong": True} == pong


def test_s14_no_progress_inside_a_frame_ends_it(serve: Callable[..., Served]) -> None:
    """Half a frame and then nothing: told, then closed; between frames one may be silent."""
    served = serve(limits=ServerLimits(frame_timeout_s=0.2))
    idle, half = served.bare(), served.bare()
    half.socket.sendall(PING[:7])
    reply = half.reply()

    assert "frame_timeout" == reply["error_code"]
    assert half.is_closed()
    assert {"ok": True, "pong": True} == idle.ask(op="ping")


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({}, "Unknown op: nil"),
        ({"op": None}, "Unknown op: nil"),
        ({"op": "x"}, 'Unknown op: "x"'),
        ({"op": 3}, "Unknown op: 3"),
        ({"op": ["ping"]}, 'Unknown op: ["ping"]'),
        ({"op": "y" * 500}, 'Unknown op: "' + "y" * 59),
    ],
)
def test_s14_an_unknown_op_is_named(bare: Bare, request_: dict[str, object], sentence: str) -> None:
    """In the incumbent's words; the connection goes on."""
    bare.send(request_)
    reply = bare.reply()

    assert {"ok": False, "error_code": "unknown_op", "error": sentence} == reply
    assert bare.ask(op="ping")["pong"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=40) | st.just(PING) | st.just(encode_frame(b"[]")), max_size=5))
def test_no_bytes_break_the_server(served: Served, pieces: list[bytes]) -> None:
    """Whatever a stranger sends, the next caller is served, and nobody stays behind."""
    stranger = served.bare()
    try:
        for piece in pieces:
            stranger.socket.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass
    stranger.socket.close()
    guest = served.bare()
    pong = guest.ask(op="ping")
    guest.socket.close()

    assert {"ok": True, "pong": True} == pong
    wait_until(lambda: served.server.connections == 0)

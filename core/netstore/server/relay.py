"""Bytes passed on between a client and the server that has the store, both ways, until one of them ends."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading

from core.netstore.sockets import send_all

CHUNK_BYTES = 64 * 1024


class Relay:
    """One client's connection, carried by the thread that calls `run`; it holds one chunk each way and no more."""

    def __init__(self, client: socket.socket, server: socket.socket, *, send_timeout_s: float, linger_s: float) -> None:
        self._client = client
        self._server = server
        self._send_timeout_s = send_timeout_s
        self._linger_s = linger_s

    def run(self) -> None:
        """Pass on what comes until the server has ended, or the client has and is answered; then close both."""
        for side in (self._client, self._server):
            side.settimeout(None)
        # A client that does not read is left: for the server it would be one that reads all the same.
        _limit_sending(self._client, self._send_timeout_s)
        forth = threading.Thread(target=self._forth, name="netstore relay", daemon=True)
        forth.start()
        try:
            self._back()
        finally:
            _shut(self._server, socket.SHUT_RDWR)
            _shut(self._client, socket.SHUT_WR)
            forth.join(self._linger_s)
            _shut(self._client, socket.SHUT_RDWR)
            forth.join()
            self._server.close()
            self._client.close()

    def stop(self) -> None:
        """Take no more from the client: the server answers what it has, and ends; from any thread."""
        _shut(self._client, socket.SHUT_RD)

    def cut(self) -> None:
        """End both sides now; from any thread."""
        _shut(self._server, socket.SHUT_RDWR)
        _shut(self._client, socket.SHUT_RDWR)

    def _forth(self) -> None:
        is_heard = True
        with contextlib.suppress(OSError):
            while data := self._client.recv(CHUNK_BYTES):
                # What comes after the server's end is taken and dropped: unread, it would reset what the client was
                # sent last. It stays unanswered, so the client knows that nothing was done.
                if is_heard:
                    is_heard = _sent(self._server, data)
        _shut(self._server, socket.SHUT_WR)

    def _back(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(CHUNK_BYTES):
                if not _sent(self._client, data):
                    return


def _sent(sink: socket.socket, data: bytes) -> bool:
    """Send what was read; False where the other side takes none of it any more."""
    try:
        send_all(sink, data)
    except OSError:
        return False
    return True


def _limit_sending(sink: socket.socket, seconds: float) -> None:
    if sys.platform != "win32":
        limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def _shut(side: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(how)

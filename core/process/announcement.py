"""Hears the announcement out of a child's first output, however it is cut up and whatever noise precedes it."""

from __future__ import annotations

from core.model.errors import HandshakeInvalid
from core.model.handshake import LINE_BYTES_MAX, Announcement, parse_announcement


class AnnouncementReader:
    """Fed with stdout piece by piece until `announcement` is there; noise lines are handed back, bounded."""

    def __init__(self, service_id: str, *, noise_lines_max: int, noise_bytes_max: int) -> None:
        self._service_id = service_id
        self._lines_left = noise_lines_max
        self._bytes_left = noise_bytes_max
        self._pending = bytearray()
        self.announcement: Announcement | None = None

    def feed(self, data: bytes) -> bytes:
        """What of `data` is log text: noise lines, and all that follows the announcement; raises HandshakeInvalid."""
        self._pending += data
        noise = bytearray()
        while self.announcement is None:
            line, newline, rest = self._pending.partition(b"\n")
            if len(line) > LINE_BYTES_MAX:
                raise HandshakeInvalid(
                    f"{self._service_id} wrote a line over {LINE_BYTES_MAX} bytes before its handshake"
                )
            if not newline:
                return bytes(noise)
            self._pending = rest
            self.announcement = parse_announcement(bytes(line))
            if self.announcement is None:
                noise += self._counted(line) + newline
        return bytes(noise) + self.rest()

    def rest(self) -> bytes:
        """What is still held back, taken out: an unfinished line of a child that ended."""
        left, self._pending = bytes(self._pending), bytearray()
        return left

    def _counted(self, line: bytearray) -> bytearray:
        self._lines_left -= 1
        self._bytes_left -= len(line) + 1
        if self._lines_left < 0 or self._bytes_left < 0:
            raise HandshakeInvalid(f"{self._service_id} wrote too much before its handshake")
        return line

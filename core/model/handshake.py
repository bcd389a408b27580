"""The two lines that start a child: the greeting it reads from stdin, the announcement it writes to stdout.

Neither line is ever logged: the greeting carries the child's token and key, and a child may echo it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from core.model.errors import HandshakeInvalid

PROTOCOL = 1
LINE_BYTES_MAX = 64 * 1024
# How a child ends whose store another process writes: nothing is wrong with it, it can start when that is done.
EXIT_STORE_BUSY = 75


class Greeting(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the core tells a child, as one line of JSON; unknown keys are ignored by both sides.

    `limits` holds `disk_free_bytes_min`: below it the child does not sync. `due` says when each stream runs next.
    `timezone` is the owner's, by its IANA name: there days begin and end.
    `store_socket` is where the store is written over the wire, with `writer = "core"`; else None. `writer_socket` is
    where a child that writes its store itself serves it to the core, if the owner opened it to other programs; else
    None.
    """

    port: int
    working_directory: str
    locker_url: str
    id: str
    uid: str
    device: str
    core_pid: int
    source_directory: str
    external_base: str
    token: str
    key: str
    protocol: int = PROTOCOL
    origin_epoch: int = 1
    account: str | None = None
    settings: dict[str, Any] = {}
    app: dict[str, Any] = {}
    limits: dict[str, int] = {}
    due: dict[str, float] = {}
    store_socket: str | None = None
    writer_socket: str | None = None
    timezone: str = "UTC"

    def __repr__(self) -> str:
        return f"Greeting(id={self.id!r}, port={self.port})"

    __str__ = __repr__

    def to_line(self) -> bytes:
        """The greeting as it is written to the child's stdin."""
        return msgspec.json.encode(self) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Greeting:
        """The greeting in `line`; raises HandshakeInvalid without quoting it."""
        try:
            return msgspec.json.decode(line, type=cls)
        except msgspec.MsgspecError as err:
            raise HandshakeInvalid("the greeting on stdin is not the JSON object that the core writes") from err


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """What a child answers: the port it listens on; `None` means the suggested one."""

    port: int | None = None
    protocol: int = PROTOCOL
    version: str = ""
    capabilities: tuple[str, ...] = ()


def parse_announcement(line: bytes) -> Announcement | None:
    """The announcement in `line`, or None when the line is not a JSON object (noise before it).

    Raises HandshakeInvalid for a JSON object that breaks the contract: such a child cannot be used.
    """
    text = line.strip()
    if not text.startswith(b"{"):
        return None
    try:
        document = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    port = document.get("port")
    if port is not None and (isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536):
        raise HandshakeInvalid("the announced port is not a whole number from 1 to 65535")
    protocol = document.get("protocol", PROTOCOL)
    if protocol != PROTOCOL:
        raise HandshakeInvalid(
            f"the connector speaks handshake protocol {str(protocol)[:20]}, the core speaks {PROTOCOL}"
        )
    version, capabilities = document.get("version", ""), document.get("capabilities", ())
    return Announcement(
        port=port,
        version=version if isinstance(version, str) else "",
        capabilities=tuple(c for c in capabilities if isinstance(c, str)) if isinstance(capabilities, list) else (),
    )

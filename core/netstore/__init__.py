"""Stores over a wire: one server for whoever writes them, and a client with a store's own interface."""

from core.netstore.client.store import NetworkStore
from core.netstore.client.subscriber import Subscriber
from core.netstore.limits import ServerLimits
from core.netstore.listening import connect_unix, listen_unix, parse_address, private_path, socket_path
from core.netstore.protocol import Cursor
from core.netstore.server.door import ADMIN, OWNER, READ, WRITE, Door, Grant, ServedStore, one_store
from core.netstore.server.gate import Gate
from core.netstore.server.server import StoreServer
from core.netstore.sockets import peer_of

__all__ = [
    "ADMIN",
    "OWNER",
    "READ",
    "WRITE",
    "Cursor",
    "Door",
    "Gate",
    "Grant",
    "NetworkStore",
    "ServedStore",
    "ServerLimits",
    "StoreServer",
    "Subscriber",
    "connect_unix",
    "listen_unix",
    "one_store",
    "parse_address",
    "peer_of",
    "private_path",
    "socket_path",
]

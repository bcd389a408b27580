"""Stores over a wire: one server for whoever writes them, and a client with a store's own interface."""

from core.netstore.client import NetworkStore
from core.netstore.door import ADMIN, OWNER, READ, WRITE, Door, Grant, ServedStore, one_store
from core.netstore.limits import ServerLimits
from core.netstore.listening import parse_address, socket_path
from core.netstore.protocol import Cursor
from core.netstore.server import StoreServer
from core.netstore.subscriber import Subscriber

__all__ = [
    "ADMIN",
    "OWNER",
    "READ",
    "WRITE",
    "Cursor",
    "Door",
    "Grant",
    "NetworkStore",
    "ServedStore",
    "ServerLimits",
    "StoreServer",
    "Subscriber",
    "one_store",
    "parse_address",
    "socket_path",
]

"""The door to a connector: requests for `/Me/<id>/…` reach the child and come back, as streams, within limits."""

from core.gateway.address import is_behind_door, target_of
from core.gateway.call import Response
from core.gateway.door import Backends, Door
from core.gateway.front import CONNECTION, FrontLimits
from core.gateway.limits import GatewayLimits
from core.gateway.request import Caller
from core.gateway.server import open_listener, server_config

__all__ = [
    "CONNECTION",
    "Backends",
    "Caller",
    "Door",
    "FrontLimits",
    "GatewayLimits",
    "Response",
    "is_behind_door",
    "open_listener",
    "server_config",
    "target_of",
]

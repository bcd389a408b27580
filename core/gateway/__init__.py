"""The door to a connector: requests for `/Me/<id>/…` reach the child and come back, as streams, within limits."""

from core.gateway.call import Response
from core.gateway.door import Backends, Door
from core.gateway.front import FrontLimits, open_listener, server_config
from core.gateway.limits import GatewayLimits

__all__ = ["Backends", "Door", "FrontLimits", "GatewayLimits", "Response", "open_listener", "server_config"]

"""What happened: who asked to hear of it, deliveries to listening services, and the stream for those who look on."""

from core.events.bus import Bus
from core.events.courier import DeliveryLimits
from core.events.delivery import Deliveries
from core.events.letters import DeadLetter
from core.events.listeners import Listener
from core.events.logs import LogSource
from core.events.match import matches
from core.events.stream import EventStreams

__all__ = ["Bus", "DeadLetter", "Deliveries", "DeliveryLimits", "EventStreams", "Listener", "LogSource", "matches"]

"""The only place that knows every room: opens them in order, serves, and closes them in reverse."""

from core.assembly.core import main
from core.assembly.listening import listener_on
from core.assembly.lock import MeLock

__all__ = ["MeLock", "listener_on", "main"]

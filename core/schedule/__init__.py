"""When: the calls that services asked for, the streams' regular turns, and the timer over both."""

from core.schedule.plan import Pending
from core.schedule.runner import Scheduler

__all__ = ["Pending", "Scheduler"]

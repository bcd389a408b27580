"""Who is running: children started on demand, watched, shut in a sandbox, and ended without a trace."""

from core.process.connections import Holder, holder_of, is_below
from core.process.lifecycle import Failed, Running, Starting, State, Stopped, Stopping
from core.process.logs import ChildLogs, LogLimits
from core.process.spec import Endpoint, LaunchSpec, ProcessDetails, ProcessLimits
from core.process.supervisor import Supervisor
from core.process.zygote import Zygote

__all__ = [
    "ChildLogs",
    "Endpoint",
    "Failed",
    "Holder",
    "LaunchSpec",
    "LogLimits",
    "ProcessDetails",
    "ProcessLimits",
    "Running",
    "Starting",
    "State",
    "Stopped",
    "Stopping",
    "Supervisor",
    "Zygote",
    "holder_of",
    "is_below",
]

"""The core's API: one module for each noun, every path a row in its table."""

from core.web.api.accesses import ROUTES as ACCESSES
from core.web.api.catalog import ROUTES as CATALOG
from core.web.api.diary import ROUTES as DIARY
from core.web.api.doors import ROUTES as DOORS
from core.web.api.events import ROUTES as EVENTS
from core.web.api.kept import ROUTES as KEPT
from core.web.api.library import ROUTES as LIBRARY
from core.web.api.retention import ROUTES as RETENTION
from core.web.api.schedules import ROUTES as SCHEDULES
from core.web.api.services import ROUTES as SERVICES
from core.web.api.shared import ROUTES as SHARED
from core.web.api.system import ROUTES as SYSTEM
from core.web.api.tokens import ROUTES as TOKENS

ROUTES = (
    *CATALOG,
    *SERVICES,
    *DOORS,
    *SHARED,
    *RETENTION,
    *KEPT,
    *SCHEDULES,
    *EVENTS,
    *LIBRARY,
    *DIARY,
    *TOKENS,
    *ACCESSES,
    *SYSTEM,
)

__all__ = [
    "ACCESSES",
    "CATALOG",
    "DIARY",
    "DOORS",
    "EVENTS",
    "KEPT",
    "LIBRARY",
    "RETENTION",
    "ROUTES",
    "SCHEDULES",
    "SERVICES",
    "SHARED",
    "SYSTEM",
    "TOKENS",
]

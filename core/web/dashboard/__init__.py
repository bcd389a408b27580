"""The dashboard: pages that need no script, one module for each thing a person looks at."""

from flask import Flask

from core.web.dashboard.about import PAGES as ABOUT
from core.web.dashboard.changes import PAGES as CHANGES
from core.web.dashboard.erasing import PAGES as ERASING
from core.web.dashboard.home import PAGES as HOME
from core.web.dashboard.keeping import PAGES as KEEPING
from core.web.dashboard.kept import PAGES as KEPT
from core.web.dashboard.library import PAGES as LIBRARY
from core.web.dashboard.owner import PAGES as OWNER
from core.web.dashboard.record import PAGES as RECORD
from core.web.dashboard.records import PAGES as RECORDS
from core.web.dashboard.service import PAGES as SERVICE
from core.web.dashboard.set_aside import PAGES as SET_ASIDE
from core.web.dashboard.visit import serve_pages
from core.web.routes import Desk

PAGES = (*HOME, *KEPT, *SERVICE, *SET_ASIDE, *KEEPING, *RECORDS, *RECORD, *CHANGES, *ERASING, *LIBRARY, *OWNER, *ABOUT)


def serve_dashboard(flask: Flask, desk: Desk) -> None:
    """Give the Flask application every page of the dashboard."""
    serve_pages(flask, PAGES, desk)


__all__ = [
    "ABOUT",
    "CHANGES",
    "ERASING",
    "HOME",
    "KEEPING",
    "KEPT",
    "LIBRARY",
    "OWNER",
    "PAGES",
    "RECORD",
    "RECORDS",
    "SERVICE",
    "SET_ASIDE",
    "serve_dashboard",
]

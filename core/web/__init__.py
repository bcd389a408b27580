"""Faces for browsers, apps and children: access, the core's API, the dashboard, and the console's socket."""

from core.web.app import Web, build
from core.web.caller import Caller, hears
from core.web.console import Console
from core.web.parts import ChildDetails, ChildState, Notice, Parts

__all__ = ["Caller", "ChildDetails", "ChildState", "Console", "Notice", "Parts", "Web", "build", "hears"]

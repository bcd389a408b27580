"""The only place that knows every room: opens them in order, serves, and closes them in reverse."""

from core.assembly.core import main

__all__ = ["main"]

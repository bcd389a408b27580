"""Faces for a terminal: one command, one small function."""

from core.cli.main import main

__all__ = ["main"]

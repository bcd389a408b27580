"""Faces for a terminal: one command, one small function."""

from core.cli.command_line import main

__all__ = ["main"]

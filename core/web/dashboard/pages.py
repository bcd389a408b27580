"""The dashboard's routes."""

from __future__ import annotations

from flask import Flask

from core.web.routes import Desk


def serve_dashboard(flask: Flask, desk: Desk) -> None:
    """Give the Flask application the dashboard's pages."""

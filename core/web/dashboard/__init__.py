"""The dashboard: pages that work without scripts."""

from core.web.dashboard.pages import serve_dashboard

__all__ = ["serve_dashboard"]

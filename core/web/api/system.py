"""How the core is: up or not, its figures, and the description of this API."""

from __future__ import annotations

from typing import Literal

import msgspec

from core.web.routes import EVERYBODY, READ, Ask, Reply, Route


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The core answers; no more is told to strangers."""

    status: Literal["up"] = "up"


def read_health(ask: Ask) -> Health:  # noqa: ARG001 -- every view takes the request
    """Say that the core is up; needs no token."""
    return Health()


def read_metrics(ask: Ask) -> Reply:
    """Tell the core's figures in the text form that Prometheus reads."""
    return Reply(ask.desk.metrics.exposition(), ask.desk.metrics.content_type)


ROUTES = (
    Route("GET", "/health", read_health, "system", EVERYBODY, answer=Health),
    Route("GET", "/metrics", read_metrics, "system", READ, content_type="text/plain"),
)

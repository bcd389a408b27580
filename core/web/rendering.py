"""Pages from templates, always escaped, with the headers that keep them to themselves."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.model.ids import key_to_path

FOLDER = Path(__file__).parent
STATIC_FOLDER = FOLDER / "static"


def page_headers(*origins: str) -> list[tuple[str, str]]:
    """What keeps a page of the core to itself when it is served from one of these origins.

    Code and looks come from `/static/` alone: the paths of services are on the same origin.
    """
    static = " ".join(f"{origin}/static/" for origin in origins)
    policy = (
        f"default-src 'none'; script-src {static}; style-src {static}; img-src {static}; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
    return [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        # Under `no-referrer` a browser would send `Origin: null` with our own forms; nothing leaves this host here.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
    ]


@cache
def asset(name: str) -> str:
    """The address of a static file; it changes with the file, so that browsers may keep it for good."""
    tag = hashlib.sha256((STATIC_FOLDER / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={tag}"


def page(template: str, **values: Any) -> str:
    """The template as HTML; every value is text unless the template itself says otherwise."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["asset"] = asset
    environment.filters["segment"] = key_to_path
    return environment

"""One table: routes, OpenAPI document and docs/api.md say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from core.web import openapi
from core.web.accesses import Accesses
from core.web.api import ROUTES
from core.web.app import flask_of
from core.web.diary import Diary
from core.web.metrics import Metrics
from core.web.notices import Notices
from core.web.once import Once
from core.web.routes import Desk
from core.web.tokens import AppTokens
from tests.web.conftest import Site
from tests.web.fakes import World

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"
METHODS = {"GET", "POST", "PUT", "DELETE", "PATCH"}


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Flask]:
    """The Flask application on the fakes."""
    world = World(tmp_path, port=1)
    tokens = AppTokens(world.documents, world.coredb, world.clock)
    notices = Notices(world.parts.notices, world.documents, world.clock)
    diary = Diary(world.coredb, world.clock, "UTC")
    desk = Desk(
        parts=world.parts, tokens=tokens, diary=diary, metrics=Metrics(world.parts), notices=notices,
        accesses=Accesses(world.coredb, world.clock), once=Once(world.clock),
        end_streams=world.parts.end_streams,
    )  # fmt: skip
    yield flask_of(desk)
    world.close()


def served(application: Flask) -> set[tuple[str, str]]:
    """Every method and path that Flask answers as part of the API."""
    return {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in application.url_map.iter_rules()
        if rule.endpoint.startswith("api.")
        for method in (rule.methods or set()) & METHODS
    }


def described(document: dict[str, Any]) -> set[tuple[str, str]]:
    """Every method and path of an OpenAPI document."""
    return {(method.upper(), path) for path, item in document["paths"].items() for method in item}


def test_every_route_is_described_and_no_other(site: Site, application: Flask) -> None:
    """The document that is served, against the routes that are."""
    document = site.owner("GET", "/openapi.json").json

    assert served(application) | {("GET", "/events")} == described(document)


def test_whatever_flask_answers_is_api_dashboard_or_static(application: Flask) -> None:
    """No view stands outside a table."""
    endpoints = {rule.endpoint.partition(".")[0] for rule in application.url_map.iter_rules()}

    assert {"api", "dashboard", "static"} == endpoints


def test_docs_have_each_path_and_no_other() -> None:
    """docs/api.md has one row for each, with its summary and who may call."""
    document = openapi.document(openapi.TABLE)
    rows = re.findall(r"^\| `(GET|POST|PUT|DELETE) (\S+?)` \| (.+?) \| (.+?) \|$", DOCS.read_text(), flags=re.M)
    expected = {
        (m.upper(), path, one["summary"], ", ".join(one["x-callers"]))
        for path, item in document["paths"].items()
        for m, one in item.items()
    }

    assert expected == {(method, path, summary, who) for method, path, summary, who in rows}


def test_docs_have_each_field() -> None:
    """Every field of a body and of a query is named there."""
    text = DOCS.read_text()
    fields = {field for route in ROUTES if route.body is not None for field in route.body.__struct_fields__}
    fields |= {field.name for route in ROUTES for field in route.query}

    assert set() == {field for field in fields if f"`{field}`" not in text and f'"{field}"' not in text}


def test_every_row_is_complete() -> None:
    """A summary that is a sentence, a group that is explained, and one name each."""
    names = [route.name for route in openapi.TABLE]

    assert len(set(names)) == len(names)
    assert [] == [r.name for r in openapi.TABLE if not r.summary.endswith(".") or r.group not in openapi.GROUPS]


def test_references_lead_somewhere() -> None:
    """No schema is named that the document lacks."""
    text = openapi.document_text().decode()
    wanted = set(re.findall(r"#/components/schemas/(\w+)", text))

    assert set() == wanted - set(openapi.document(openapi.TABLE)["components"]["schemas"])


def test_what_strangers_may_call_is_health_alone() -> None:
    """The list of open rows is one row long."""
    assert ["read_health"] == [route.name for route in openapi.TABLE if "nobody" in route.callers]

"""The warm parent with marks at the steps of its own and of a child on the SDK."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from core.process import inside, warm_parent
from tests.bench import _marks

PARENTS = (("core.process.warm_parent", "WarmParent._answer"),)
CHILDS = (
    ("core.process.inside", "_prepare_python"),
    ("core.process.inside", "_confine"),
    ("connectors.sdk.connector", "run"),
    ("connectors.sdk.connector", "Source"),
    ("connectors.sdk.connector", "start_logging"),
    ("connectors.sdk.connector", "read_line"),
    ("connectors.sdk.connector", "Child"),
    ("connectors.sdk.connector", "_announce"),
    ("connectors.sdk.child", "Opening"),
    ("connectors.sdk.child", "Store.open"),
    ("connectors.sdk.child", "Child._serve"),
    ("connectors.sdk.child", "Child._add_routes"),
    ("connectors.sdk.child", "listen"),
    ("connectors.sdk.webservice", "Webservice._answer"),
    ("connectors.sdk.webservice", "Webservice._send"),
    ("uvicorn.server", "Server.startup"),
    ("uvicorn.protocols.http.httptools_impl", "HttpToolsProtocol.data_received"),
)


def _marked(shelf: _marks.Shelf, begin: Any) -> Any:
    def begun(entry: Any) -> None:
        shelf.put(">begin")
        begin(entry)

    return begun


if __name__ == "__main__":
    child = _marks.shelf_of("child")
    for module, name in PARENTS:
        _marks.watch(_marks.shelf_of("parent"), module, name)
    importlib.import_module("connectors.sdk.connector")
    for module, name in CHILDS:
        _marks.watch(child, module, name)
    setattr(warm_parent, "begin", _marked(child, inside.begin))  # noqa: B010 - imported there, not declared
    warm_parent.main(sys.argv[1:])

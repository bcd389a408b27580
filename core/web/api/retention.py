"""What a service's store keeps for how long, what its owner has erased, and the receipts of what went."""

from __future__ import annotations

from typing import Any

from core.records import Erasing, Policies
from core.store import Receipt
from core.web import letting_go
from core.web.numbers import POSITION_MAX, whole
from core.web.routes import READ, Ask, Field, Route

RECEIPTS_DEFAULT = 100
RECEIPTS_MAX = 1000


def read_retention(ask: Ask) -> Policies:
    """Tell how long superseded facts are kept; a type that is not named keeps all of them."""
    with ask.parts.reader(ask.service_id) as reader:
        return Policies(policies=dict(reader.policies()))


def write_retention(ask: Ask) -> Policies:
    """Set all retention policies of the service; its child is woken for that."""
    letting_go.set_policies(ask.parts, ask.service_id, ask.body)
    return read_retention(ask)


def erase_facts(ask: Ask) -> dict[str, Any]:
    """Erase for good what a record or some facts said, in every copy in reach; answers the receipt."""
    return letting_go.erase(ask.parts, ask.service_id, ask.body)


def read_receipts(ask: Ask) -> list[Receipt]:
    """List the receipts of what left the service's store or came by other than the usual way, the latest first."""
    limit = whole(ask.query, "limit", otherwise=RECEIPTS_DEFAULT, most=RECEIPTS_MAX)
    before = whole(ask.query, "before", otherwise=0, least=0, most=POSITION_MAX)
    with ask.parts.reader(ask.service_id) as reader:
        return list(reader.receipts(limit, before=before or None))


_PAGE = (
    Field(name="limit", about=f"How many: {RECEIPTS_DEFAULT} unless told, {RECEIPTS_MAX} at most.", kind="integer"),
    Field(name="before", about="Only those before this receipt's `seq`.", kind="integer"),
)
ROUTES = (
    Route("GET", "/core/<id>/retention", read_retention, "services", READ, answer=Policies),
    Route("PUT", "/core/<id>/retention", write_retention, "services", body=Policies, answer=Policies),
    Route("POST", "/core/<id>/erase", erase_facts, "services", body=Erasing, answer=dict[str, Any]),
    Route("GET", "/core/<id>/receipts", read_receipts, "services", READ, query=_PAGE, answer=list[Receipt]),
)

"""The owner's tokens for scripts and apps."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from core.web.routes import Ask, Route
from core.web.tokens import AppToken


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """What the token is for, and what it may do: `all`, or some of `read` and `sync`."""

    label: str
    scopes: tuple[str, ...] = ("all",)


class CreatedToken(msgspec.Struct, frozen=True, kw_only=True):
    """The new token: its text is told this once and never again."""

    id: str
    label: str
    scopes: tuple[str, ...]
    token: str


class DeletedToken(msgspec.Struct, frozen=True, kw_only=True):
    """The token that opens nothing any more."""

    id: str


def read_tokens(ask: Ask) -> Sequence[AppToken]:
    """List the tokens, without their text."""
    return ask.desk.tokens.list()


def create_token(ask: Ask) -> CreatedToken:
    """Make a token; its text is in this answer only."""
    made, token = ask.desk.tokens.create(ask.body.label, ask.body.scopes)
    return CreatedToken(id=made.id, label=made.label, scopes=made.scopes, token=token)


def delete_token(ask: Ask) -> DeletedToken:
    """Delete a token: it opens nothing from now on; its event streams and its connections to stores end."""
    ask.desk.revoke(ask.names["token"])
    return DeletedToken(id=ask.names["token"])


ROUTES = (
    Route("GET", "/tokens", read_tokens, "tokens", answer=list[AppToken]),
    Route("POST", "/tokens", create_token, "tokens", body=NewToken, answer=CreatedToken, status=201),
    Route("DELETE", "/tokens/<token>", delete_token, "tokens", answer=DeletedToken),
)

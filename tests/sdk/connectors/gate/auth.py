"""Tokens that begin with `good-` are fine; the rest is the account."""

from core.model.errors import Offline, UserActionNeeded

fields = {
    "token": {"type": "string", "title": "Token", "secret": True},
    "server": {"type": "string", "title": "Server", "default": "example.org", "optional": True},
}


def check(fields, session):
    if fields["token"] == "away":
        raise Offline("example.org did not answer")
    if not fields["token"].startswith("good-"):
        raise UserActionNeeded("example.org does not know this token", remedy="Make a new one.")
    return fields["token"].removeprefix("good-").split("+")[0]


def sign(session, credentials):
    session.headers["Authorization"] = f"Bearer {credentials['token']}"

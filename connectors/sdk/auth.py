"""Signing in: the form that the core shows the owner, and the credentials that come of it, sealed before use.

`Auth` is all that the rest of a child knows of signing in; kinds that lead the owner through a provider's own pages
implement the same seven methods.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from connectors.sdk.context import Service
from connectors.sdk.source import Source
from core.model.errors import BadRequest, Conflict, LockerError, NotFound, UserActionNeeded
from core.vault.cipher import SealedFile

FIELD_BYTES_MAX = 8 * 1024
SIGN_OUT = "sign-out"

_SECRET: Mapping[str, Any] = {"type": "string", "secret": True}
DEFAULT_FIELDS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "token": {"token": {**_SECRET, "title": "Token"}},
    "password": {"username": {"type": "string", "title": "User name"}, "password": {**_SECRET, "title": "Password"}},
}

log = logging.getLogger(__name__)


class Auth(Protocol):
    """How a service signs in."""

    def begin(self, *, done: Callable[[], None], undone: Callable[[], None]) -> None:
        """Call `done` at once if signed in, else whenever the owner has signed in; `undone` when that ends."""

    def is_authorised(self) -> bool:
        """Whether credentials are there and not known to be refused."""

    def describe(self) -> dict[str, Any]:
        """The next step, as `GET /auth` answers it: state, kind, step, and what the step needs."""

    def submit(self, step: str, answers: Mapping[str, Any]) -> dict[str, Any]:
        """Take the owner's answers to a step; the next step, or `authorised`. Credentials are durable on return."""

    def lapse(self, reason: str) -> None:
        """Remember that the provider refused the credentials; the owner must sign in again."""

    def credentials(self) -> Mapping[str, Any]:
        """What signing in left, empty when not signed in."""

    def sign_ins(self) -> int:
        """How often the owner has signed in since the process started; tokens that a kind renews by itself are none."""


class NoAuth:
    """For sources that need no sign-in."""

    def begin(self, *, done: Callable[[], None], undone: Callable[[], None]) -> None:  # noqa: ARG002
        """Nothing stands in the way: `done` at once."""
        done()

    def is_authorised(self) -> bool:
        """Always."""
        return True

    def describe(self) -> dict[str, Any]:
        """Nothing is to be done."""
        return {"state": "authorised", "kind": "none", "step": None}

    def submit(self, step: str, answers: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """There are no steps."""
        raise NotFound(f"there is no step {step!r}: this service needs no sign-in")

    def lapse(self, reason: str) -> None:
        """A source without sign-in that asks for one cannot be helped from here."""
        log.warning("the source asks for a sign-in that this connector does not know: %s", reason)

    def credentials(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def sign_ins(self) -> int:
        """None."""
        return 0


class FormAuth:
    """A form of fields, filled in by the owner on the core's page: kinds `token` and `password`.

    auth.py may name the `fields`, and may `check(fields, session)`: it returns the provider's own account id, or
    raises what the owner should read. A mapping `{"account": …, "credentials": {…}}` keeps other credentials than the
    fields, so that a password can be exchanged for a token and forgotten.
    """

    def __init__(self, service: Service, source: Source, sealed: SealedFile, *, kind: str) -> None:
        self._service = service
        self._source = source
        self._sealed = sealed
        self._kind = kind
        self._done: Callable[[], None] = lambda: None
        self._undone: Callable[[], None] = lambda: None
        self._is_told = True
        self._sign_ins = 0
        self._kept = self._read()

    def begin(self, *, done: Callable[[], None], undone: Callable[[], None]) -> None:
        """Call `done` at once if signed in, else whenever the owner has signed in; `undone` when that ends."""
        self._done, self._undone = done, undone
        if not self._is_told:
            # A daemon: a core that does not answer must not keep the process from ending.
            threading.Thread(target=self._tell_kept, name="account", daemon=True).start()
        if self.is_authorised():
            done()

    def is_authorised(self) -> bool:
        """Whether credentials are there and the provider has not refused them since."""
        return "credentials" in self._kept and "lapsed" not in self._kept

    def describe(self) -> dict[str, Any]:
        """The form, and whether it is needed."""
        state = "authorised" if self.is_authorised() else "lapsed" if "lapsed" in self._kept else "required"
        step = None if state == "authorised" else self._kind
        document: dict[str, Any] = {"state": state, "kind": self._kind, "step": step, "account": self._service.account}
        if step is not None:
            document["fields"] = self._fields()
        if state == "lapsed":
            document["detail"] = self._kept["lapsed"]
        return document

    def submit(self, step: str, answers: Mapping[str, Any]) -> dict[str, Any]:
        """Check the form at the provider, seal what it gave, then open the sync routes."""
        if step == SIGN_OUT:
            self._keep({})
            self._undone()
            return self.describe()
        if step != self._kind:
            raise NotFound(f"there is no step {step[:40]!r}; the step is {self._kind!r}")
        fields = self._filled_in(answers)
        account, credentials = self._check(fields)
        if self._service.account is not None and account not in (None, self._service.account):
            raise Conflict(
                f"this service belongs to {self._service.account}, and you signed in as {account}",
                remedy="Install the connector a second time for the other account.",
            )
        if account is not None:
            self._tell(account)
        self._service.account = account or self._service.account
        self._keep({"credentials": credentials, "account": self._service.account})
        self._sign_ins += 1
        self._done()
        return self.describe()

    def lapse(self, reason: str) -> None:
        """Keep the credentials, refused as they are: the owner may repair them at the provider."""
        self._keep({**self._kept, "lapsed": reason})
        self._undone()

    def credentials(self) -> Mapping[str, Any]:
        """The fields as the owner filled them in, or what `check` made of them."""
        kept = self._kept.get("credentials", {})
        return kept if isinstance(kept, dict) else {}

    def sign_ins(self) -> int:
        """How often the form was taken."""
        return self._sign_ins

    def _read(self) -> dict[str, Any]:
        try:
            kept = self._sealed.read().get("auth", {})
        except LockerError as err:
            # Stored data stays readable; the owner is asked to sign in, and the sealed file is not touched.
            log.error("the sign-in cannot be read problem=%s %s", err.code, err.detail)
            return {}
        if isinstance(kept, dict) and kept.get("account") and self._service.account is None:
            self._service.account = str(kept["account"])
            self._is_told = False
        return kept if isinstance(kept, dict) else {}

    def _tell(self, account: str) -> None:
        """Have the core remember whose data this is; only its refusal counts, for it is told again at the next start.

        It remembers over a sign-out, which leaves nothing here.
        """
        try:
            self._service.core.sign_in(account)
        except Conflict as err:
            raise Conflict("this service holds the data of another account", remedy=err.remedy) from err
        except LockerError as err:
            log.warning("the core did not take the account problem=%s", err.code)

    def _tell_kept(self) -> None:
        try:
            self._tell(str(self._service.account))
        except Conflict as err:
            log.error("the sign-in is not the one that the core remembers: %s", err.detail)

    def _keep(self, kept: dict[str, Any]) -> None:
        self._sealed.update(lambda content: {**content, "auth": kept})
        self._kept = kept

    def _fields(self) -> Mapping[str, Mapping[str, Any]]:
        if self._source.has("auth"):
            fields = getattr(self._source.module("auth"), "fields", None)
            if isinstance(fields, Mapping):
                return fields
        return DEFAULT_FIELDS[self._kind]

    def _filled_in(self, answers: Mapping[str, Any]) -> dict[str, str]:
        fields = self._fields()
        unknown = sorted(set(answers) - set(fields))
        if unknown:
            raise BadRequest(f"{unknown[0][:40]!r} is not a field of this step; it has {', '.join(fields)}")
        filled: dict[str, str] = {}
        for name, schema in fields.items():
            value = answers.get(name, schema.get("default", ""))
            if not isinstance(value, str) or len(value.encode("utf-8", "replace")) > FIELD_BYTES_MAX:
                raise BadRequest(f"{name} must be text of at most {FIELD_BYTES_MAX} bytes")
            if not value.strip() and not schema.get("optional"):
                raise BadRequest(f"{name} is missing")
            filled[name] = value.strip() if name != "password" else value
        return filled

    def _check(self, fields: dict[str, str]) -> tuple[str | None, Mapping[str, Any]]:
        check = getattr(self._source.module("auth"), "check", None) if self._source.has("auth") else None
        if check is None:
            return None, fields
        found = check(fields, self._service.new_session())
        if isinstance(found, Mapping):
            account, credentials = found.get("account"), found.get("credentials", fields)
        else:
            account, credentials = found, fields
        if not isinstance(account, (str, int)) or not str(account) or not isinstance(credentials, Mapping):
            raise UserActionNeeded(
                "the provider's answer names no account", remedy="Check what you typed, and that the account is active."
            )
        return str(account), credentials

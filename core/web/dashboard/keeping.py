"""How long a service's superseded versions are kept, by type: chosen, shown what would go by it, then set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Response

from core.model.errors import BadRequest, LockerError
from core.records import Policies
from core.store import Count, Policy
from core.web import letting_go
from core.web.dashboard.overview import types_of
from core.web.dashboard.visit import Page, Trouble, Visit
from core.web.dashboard.words import span
from core.web.parts import Holdings, Reader
from core.web.records import manifest_of

DAY_S = 86_400.0
DAYS_MAX = 36_500
DAYS_USUAL = "30"
_KINDS = ("permanent", "rolling_window", "ephemeral")


@dataclass(frozen=True)
class Choice:
    """One type on the form: what is chosen, in how many days as typed, and what is wrong with that."""

    type: str
    kind: str
    days: str
    fault: str = ""


@dataclass(frozen=True)
class Going:
    """What a policy lets go of a type, as soon as it counts."""

    type: str
    words: str
    number: Count


def keeping_words(policy: Policy) -> str:
    """What a policy means to its owner.

    >>> keeping_words(Policy()), keeping_words(Policy(kind="rolling_window", duration_s=2592000.0))
    ('all versions', 'earlier versions for 1 month')
    """
    if policy.kind == "permanent":
        return "all versions"
    if policy.kind == "ephemeral":
        return "the current version only"
    return f"earlier versions for {span(policy.duration_s or 0.0)}"


def form(visit: Visit) -> Response:
    """What is kept of each type now, to be changed."""
    with visit.parts.reader(visit.parts.services.get(visit.service_id).id) as reader:
        now = reader.policies()
        return _form(visit, [_choice(name, now.get(name, Policy())) for name in _types(visit, reader, now)])


def save(visit: Visit) -> Response:
    """Set the policies; where they let more go than those before, what that is, is shown first."""
    with visit.parts.reader(visit.parts.services.get(visit.service_id).id) as reader:
        now = reader.policies()
        choices = [_chosen(visit.form, name, now.get(name, Policy())) for name in _types(visit, reader, now)]
        if any(one.fault for one in choices):
            return _form(visit, choices, status=422)
        wanted = {one.type: _policy(one, now.get(one.type, Policy())) for one in choices}
        going = [_going(reader, visit, name, one) for name, one in wanted.items() if _is_stricter(one, now.get(name))]
    if going and visit.form.get("confirm") != "yes":
        return _form(visit, choices, going=going)
    try:
        kept = {name: one for name, one in wanted.items() if one.kind != "permanent"}
        letting_go.set_policies(visit.parts, visit.service_id, Policies(policies=kept))
    except LockerError as error:
        return _form(visit, choices, trouble=Trouble.of(error))
    return visit.go(f"/services/{visit.service_id}", done="keeping" if going else "keeping-more")


def _form(
    visit: Visit,
    choices: Sequence[Choice],
    *,
    going: Sequence[Going] = (),
    status: int = 200,
    trouble: Trouble | None = None,
) -> Response:
    return visit.show(
        "keeping",
        status=status,
        trouble=trouble,
        service=visit.parts.services.get(visit.service_id),
        choices=choices,
        going=going,
        days_max=DAYS_MAX,
    )


def _types(visit: Visit, reader: Holdings, now: Mapping[str, Policy]) -> list[str]:
    """Every type that it holds or declares, then those that only have a policy."""
    known = types_of(dict(reader.counts()), manifest_of(visit.parts, visit.parts.services.get(visit.service_id)))
    return [*known, *sorted(set(now) - set(known))]


def _choice(name: str, policy: Policy) -> Choice:
    return Choice(name, policy.kind, _days(policy))


def _days(policy: Policy) -> str:
    return DAYS_USUAL if policy.duration_s is None else f"{policy.duration_s / DAY_S:.6g}"


def _chosen(form: Mapping[str, str], name: str, now: Policy) -> Choice:
    """What the form says of a type; one that it does not name stays as it is."""
    kind, days = form.get(f"kind/{name}", now.kind), form.get(f"days/{name}", _days(now)).strip()
    if kind not in _KINDS:
        raise BadRequest(f"kind/{name} must be one of {', '.join(_KINDS)}.")
    is_left = (kind, days) == (now.kind, _days(now))
    is_bad = kind == "rolling_window" and not is_left and not _is_a_number_of_days(days)
    return Choice(name, kind, days, f"Give a number of days, up to {DAYS_MAX:,}." if is_bad else "")


def _is_a_number_of_days(text: str) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return math.isfinite(number) and 0 < number <= DAYS_MAX


def _policy(choice: Choice, now: Policy) -> Policy:
    """The policy that was chosen; one whose days were left as they stood keeps its exact time."""
    if choice.kind == "permanent":
        return Policy()
    if choice.kind == "ephemeral":
        return Policy(kind="ephemeral")
    is_same = now.kind == "rolling_window" and choice.days == _days(now)
    return now if is_same else Policy(kind="rolling_window", duration_s=float(choice.days) * DAY_S)


def _is_stricter(wanted: Policy, now: Policy | None) -> bool:
    """Whether it lets go what the policy before kept."""
    return _kept_s(wanted) < _kept_s(now or Policy())


def _kept_s(policy: Policy) -> float:
    return math.inf if policy.kind == "permanent" else policy.duration_s or 0.0


def _going(reader: Reader, visit: Visit, name: str, policy: Policy) -> Going:
    return Going(name, keeping_words(policy), reader.expendable(name, policy, now=visit.words.now))


PAGES = (
    Page("GET", "/services/<id>/keeping", form),
    Page("POST", "/services/<id>/keeping", save),
)

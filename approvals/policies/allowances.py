"""Who stands behind an allow. What a run's starter allowed themself is no approval of theirs by another name: it counts for
runs that they started only where they may approve such actions and may loosen for everybody (docs/api/approvals.md 6.3, 11).

`Policy.allowed_by` is a list of {person, by, loosens, until, approval_id}: the person, themself or their key by which they said
it, whether they had policies:write, until when they want it (null: as long as the policy), and the request with which they had it
remembered. Null: a policy of an earlier release, whose maker alone stands behind it. Earlier ones have no `by` either: then it
was the maker.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from accounts.access import team_setting
from accounts.actor import Actor
from accounts.keys.owners import person_named, person_of
from approvals.models import Effect, Policy
from web.times import rfc3339

Backer = dict[str, Any]
LOOSEN = "policies:write"


def backer(actor: Actor, until: datetime | None = None, approval_id: str | None = None) -> Backer:
    return {
        "person": person_of(actor),
        "by": actor.id,
        "loosens": actor.may(LOOSEN),
        "until": rfc3339(until),
        "approval_id": approval_id,
    }


def backers_of(row: Policy) -> Sequence[Backer]:
    if row.allowed_by is not None:
        return [{"by": row.created_by["id"], **each} for each in row.allowed_by]
    maker = {"person": person_named(row.created_by), "by": row.created_by["id"]}
    return [{**maker, "loosens": False, "until": None, "approval_id": None}]


def counting(
    rows: Sequence[Policy], starter: str | None, now: datetime, forbidden: str | None = None, asker: str | None = None
) -> list[Policy]:
    """The policies that count for the runs of this person: not those that allow, with nobody but the person behind them.

    `forbidden`: the team's forbid_self_approval, where the caller has it already. `asker`: the key of theirs that asks without
    a run. It may decide nothing of that, so what it allowed itself does not count either.
    """
    own = {row.id for row in rows if row.effect == Effect.ALLOW and starter and not _by_another(row, starter, now)}
    if not own:
        return list(rows)
    rule = forbidden or team_setting(rows[0].team_id, "forbid_self_approval")
    return [row for row in rows if row.id not in own or _by_oneself(row, rule, now, asker)]


def _by_another(row: Policy, starter: str, now: datetime) -> bool:
    return any(each["person"] != starter and _lasts(each, now) for each in backers_of(row))


def _by_oneself(row: Policy, rule: str, now: datetime, asker: str | None = None) -> bool:
    """`never`: the team wants people to approve their own. `always`: nobody does."""
    if rule == "always":
        return False
    backers = [each for each in backers_of(row) if each["by"] != asker and _lasts(each, now)]
    return any(rule == "never" or each["loosens"] for each in backers)


def for_others(row: Policy) -> bool:
    """Whether it counts for none of the runs of those who stand behind it; what they started is still asked."""
    rule, now = team_setting(row.team_id, "forbid_self_approval"), timezone.now()
    people = {each["person"] for each in backers_of(row) if _lasts(each, now)}
    return len(people) == 1 and not _by_oneself(row, rule, now)


def may_let_oneself(actor: Actor) -> bool:
    """Whether an allow of the actor's would count for runs that they started."""
    rule = team_setting(actor.team_id, "forbid_self_approval")
    return rule == "never" or (rule != "always" and actor.may(LOOSEN))


def _lasts(each: Backer, now: datetime) -> bool:
    return each["until"] is None or datetime.fromisoformat(each["until"]) > now


def add_backer(row: Policy, backer: Backer, *, wide: bool) -> bool:
    """Somebody wants what is allowed already: they stand behind it too, unless it covers more than they want. True when that
    is new."""
    if row.effect != Effect.ALLOW or (row.include_end_users and not wide):
        return False
    others = [each for each in backers_of(row) if each["by"] != backer["by"]]
    own = [each for each in backers_of(row) if each["by"] == backer["by"]]
    if any(each["until"] is None and each["loosens"] >= backer["loosens"] for each in own):
        return False
    row.allowed_by = [*others, *own, backer]
    return True


def keep_narrow(row: Policy, before: str, ended: datetime | None, backer: Backer) -> None:
    """Somebody changed it so that it allows more: nobody else stands behind more than they wanted."""
    kept: list[Backer] = []
    if before == Effect.ALLOW:
        kept = [each | {"until": _earlier(each["until"], rfc3339(ended))} for each in backers_of(row)]
    row.allowed_by = [*kept, backer]


def _earlier(one: str | None, other: str | None) -> str | None:
    return min((each for each in (one, other) if each is not None), default=None)


def remove_backer(row: Policy, approval_id: str) -> None:
    """Who had it remembered with this request does not stand behind it any more."""
    row.allowed_by = [each for each in backers_of(row) if each["approval_id"] != approval_id]

"""Where a policy asks for more than it needs to: what people always approved of late, and how it could ask for less.

Only shown, never switched on: whoever takes it up makes a policy of it, and revokes this one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from approvals import sql
from approvals.models import Effect, Policy
from approvals.policies.condition_forms import initial_rows
from approvals.policies.conditions import same
from approvals.policies.parameters import leaves
from approvals.policies.replay import WINDOW
from approvals.policies.sentences import in_full, state_of
from database.sql import prepared_all

ENOUGH = 50  # approvals, with nothing else between them
MOST_READ = 200  # of the newest approved actions
MOST_SUGGESTIONS = 5


@dataclass(frozen=True)
class Suggestion:
    """`address`: of the form of a new policy, filled in."""

    words: str
    address: str


@dataclass(frozen=True)
class Narrowing:
    approved: int
    suggestions: Sequence[Suggestion] = field(default_factory=tuple)


def narrowing(policy: Policy) -> Narrowing | None:
    """Of an ask that was approved ENOUGH times within WINDOW and never rejected, changed or left unanswered; else None."""
    if policy.effect != Effect.ASK or state_of(policy) != "active":
        return None
    values = {
        "team": policy.team_id,
        "test": policy.test,
        "since": max(timezone.now() - WINDOW, policy.created_at),
        "policy": json.dumps([policy.id]),
        "most": MOST_READ,
    }
    rows = prepared_all(sql.APPROVED_BY_POLICY, values)
    if not rows or rows[0][1] or rows[0][0] < ENOUGH:
        return None
    params = [json.loads(row[2]) if row[2] else {} for row in rows]
    return Narrowing(rows[0][0], tuple(_suggestions(policy, params))[:MOST_SUGGESTIONS])


def _suggestions(policy: Policy, actions: Sequence[Mapping[str, Any]]) -> Iterator[Suggestion]:
    """One condition each: with two at once it would ask only where both differ."""
    named = {each.get("path") for each in policy.when}
    always = [dict(leaves(params)) for params in actions]
    for path in always[0]:
        if path in named or not all(path in each for each in always):
            continue
        condition = _beyond(path, [each[path] for each in always])
        if condition is not None:
            query = {"like": policy.id} | initial_rows([condition])
            yield Suggestion(in_full([condition])[0], f"{reverse('policy-new')}?{urlencode(query)}")


def _beyond(path: str, values: Sequence[Any]) -> dict[str, Any] | None:
    """What is not as it always was: another value, or a number above all of them."""
    if all(same(values[0], each) for each in values):
        return {"path": path, "op": "ne", "value": values[0]}
    if all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
        return {"path": path, "op": "gt", "value": max(values)}
    return None

"""What a rule would have done with the actions that people were asked about of late, before it is switched on.

What ran unasked never became a request: it is not looked at. Judged is as the guard judges now, in permission mode approval: by
the rule together with those that are in force.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts.access import team_setting
from accounts.actor import Actor
from accounts.keys.owners import person_behind
from accounts.team.rules_version import rules_now
from approvals import sql
from approvals.models import Decision, Policy
from approvals.policies import allowances
from approvals.policies.rules import Proposal, active, fits, fits_tool, rule
from database.sql import prepared_all

WINDOW = timedelta(days=30)
MOST = 10_000  # actions, the newest
MOST_EXAMPLES = 20
_PEOPLE = ("user", "api_key")


@dataclass(frozen=True)
class Replay:
    """`matched`: actions that the rule fits. `would`: what would have become of them. `people`: what people decided on those that
    come out as the rule says, each counted once. `examples`: ids of requests, those that people did not simply approve first.
    """

    matched: int
    would: Mapping[str, int]
    people: Mapping[str, int]
    examples: Sequence[str]


def replay(actor: Actor, fields: Mapping[str, Any], without: str | None = None) -> Replay:
    """Of a policy that is not stored; `fields` as services.checked() has them. `without`: the policy that it would replace."""
    now = timezone.now()
    by = {"created_by": actor.ref(), "allowed_by": [allowances.backer(actor, fields.get("expires_at"))]}
    candidate = Policy(**{"team_id": actor.team_id, "test": actor.test, **by, **fields})
    others = list(active(actor.team_id, actor.test, now).exclude(id=without or "").order_by("created_at", "id"))
    forbidden = team_setting(actor.team_id, "forbid_self_approval")
    would: dict[str, str] = {}
    for approval_id, proposal in _past_actions(actor, candidate, [candidate, *others], now):
        if fits(candidate, proposal):
            rows = [candidate, *(row for row in others if _is_about(row, proposal))]
            counting = allowances.counting(rows, proposal.starter, now, forbidden, proposal.asker)
            ruling = rule(counting, proposal)
            would[approval_id] = ruling.verdict
    return _summed(would, candidate.effect)


def _is_about(row: Policy, proposal: Proposal) -> bool:
    return row.run_id in (None, proposal.run_id) and fits(row, proposal)


def _past_actions(
    actor: Actor, candidate: Policy, rules: Collection[Policy], now: datetime
) -> Iterator[tuple[str, Proposal]]:
    """The newest first. Of their parameters only what the conditions of `rules` look into."""
    floor = rules_now(actor.team_id, actor.test, "approval").floor
    people: dict[tuple[str | None, str | None], str] = {}
    for row in prepared_all(sql.PAST_ACTIONS, _values(actor, candidate, rules, now)):
        approval_id, run_id, tool, host, risk, action_class, read_only, end_user, by, owner_id, asker_id, params = row
        if by is not None and (by, owner_id) not in people:
            people[by, owner_id] = person_behind(json.loads(by), owner_id)
        yield (
            approval_id,
            Proposal(
                team_id=actor.team_id,
                test=actor.test,
                run_id=run_id,
                end_user=end_user,
                mode="approval",
                plan_approved=False,
                tool=tool,
                host=host,
                risk=risk or "write",
                read_only=bool(read_only),
                risk_floor=frozenset() if read_only else floor,
                action_class=action_class or "irreversible",
                starter=people.get((by, owner_id)),
                asker=asker_id,
                params=json.loads(params) if params else {},
            ),
        )


def _values(actor: Actor, candidate: Policy, rules: Collection[Policy], now: datetime) -> dict[str, Any]:
    paths = [each["path"] for row in rules for each in row.when if "path" in each]
    tool, is_family = candidate.tool, candidate.tool.endswith("*")
    names = [tool, *(["run_line"] if fits_tool(tool, "type_text") and candidate.effect != "allow" else [])]
    return {
        "team": actor.team_id,
        "test": actor.test,
        "since": now - WINDOW,
        "most": MOST,
        "keys": ["command", *{path.split(".")[0] for path in paths}],  # a command counts as text that is typed
        "prefix": tool[:-1] if is_family else "",
        "names": None if is_family else names,
    }


def _summed(would: Mapping[str, str], effect: str) -> Replay:
    ruled = [approval_id for approval_id, verdict in would.items() if verdict == effect]
    outcomes = dict(_outcomes(ruled))
    counts = Counter(outcomes.values())
    unusual = [approval_id for approval_id in ruled if outcomes.get(approval_id) in ("rejected", "edited")]
    examples = dict.fromkeys([*unusual, *ruled, *would])
    verdicts = Counter(would.values())
    return Replay(
        matched=len(would),
        would={verdict: verdicts[verdict] for verdict in ("allow", "ask", "deny")},
        people={outcome: counts[outcome] for outcome in ("approved", "rejected", "edited")},
        examples=list(examples)[:MOST_EXAMPLES],
    )


def _outcomes(approval_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What people decided: approved, edited (approved with other parameters) or rejected."""
    rows = Decision.objects.filter(counts=True, approval_id__in=approval_ids, actor__type__in=_PEOPLE)
    for approval_id, verdict, edit in rows.values_list("approval_id", "verdict", "approval__edited_action"):
        if verdict == "approve":
            yield approval_id, "approved" if edit is None else "edited"
        elif verdict == "reject":
            yield approval_id, "rejected"


_DONE = {"allow": "let through {}", "ask": "asked about {}", "deny": "refused {}"}
_INSTEAD = {
    "allow": "{} would have run without asking, by the other rules.",
    "ask": "{} would still have been asked about: another policy or the team’s risk floor goes before it.",
    "deny": "{} would have been refused by another policy.",
}


def in_words(result: Replay, effect: str) -> list[str]:
    """For example "In the last 30 days it would have let through 41 of 60 actions." and "People rejected 2 of them"."""
    if not result.matched:
        return [f"Of the actions that people were asked about in the last {WINDOW.days} days it fits none."]
    own = result.would[effect]
    whole = f"all {result.matched}" if result.matched > 1 else "the one"
    of = whole if own == result.matched else f"{own} of {result.matched}"
    last = f"In the last {WINDOW.days} days it would have {_DONE[effect].format(of)}"
    sentences = [f"{last} action{'s' if result.matched != 1 else ''} that it fits."]
    people = [f"{verb} {result.people[name]}" for name, verb in _PEOPLE_DID.items() if result.people[name]]
    if people:
        sentences.append(f"Of these people {' and '.join(', '.join(people).rsplit(', ', 1))}.")
    others = [verdict for verdict in _INSTEAD if verdict != effect and result.would[verdict]]
    return sentences + [_INSTEAD[verdict].format(result.would[verdict]) for verdict in others]


_PEOPLE_DID = {"rejected": "rejected", "edited": "changed", "approved": "approved"}

"""What a document names and only the team knows: agents, groups, people, secrets. Accepts invalid documents;
documents.py reports what is wrong with them."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from accounts.actor import Actor
from accounts.models import Group
from accounts.secrets.access import unknown_names
from approvals.deciders.quorum import groups_named, in_words, wrong_needs
from approvals.handling import assignee_problem
from runs.secrets.handles import handles_in
from runs.starting.services import terms_violations
from web.json_values import Detail, Loc
from workflows.definition import step_types as rules
from workflows.definition.step_types import Step
from workflows.models import Execution, Workflow


def wrong_names(actor: Actor, steps: Any, at: Loc) -> list[Detail]:
    """Names of steps, at their places below `at`, that mean nothing in the actor's team and world."""
    named_steps = list(_named_steps(steps))
    groups = groups_named(actor.team_id, [need["group"] for _, step in named_steps for _, need in _needs(step)])
    problem_of = cache(lambda assignee: assignee_problem(actor.team_id, assignee))
    wrong: list[Detail] = []
    for place, step in named_steps:
        here = (*at, *place)
        if step["type"] == "task":
            wrong += wrong_agent(actor, step.get("agent"), (*here, "agent"))
            continue
        wrong += _wrong_approvers(groups, step, (*here, "approvers"))
        assignee = step.get("assignee")
        if isinstance(assignee, str) and (problem := problem_of(assignee)):
            wrong.append(((*here, "assignee"), problem, "value_error"))
    return wrong


def unknown_secrets(actor: Actor, steps: Any, at: Loc) -> list[Detail]:
    """Handles in tasks of secrets that are not there: they may be before the workflow is started."""
    tasks = [(place, step.get("task")) for place, step in _named_steps(steps) if step["type"] == "task"]
    named = [(loc, name) for place, task in tasks for loc, name in handles_in(task, *at, *place, "task")]
    unknown = set(unknown_names(actor, (name for _, name in named)))
    wrong = {(loc, name): None for loc, name in named if name in unknown}
    return [(loc, f'There is no secret "{name}" yet.', "unknown_secret") for loc, name in wrong]


def _named_steps(steps: Any) -> Iterator[tuple[Loc, Step]]:
    """The steps that can name something, as far as a document may go."""
    every: Iterator[tuple[Loc, Any]] = rules.walk(steps) if isinstance(steps, list) else iter(())
    for place, step in islice(every, rules.MAX_STEPS):
        deep = 1 + sum(isinstance(part, str) for part in place) > rules.MAX_DEPTH
        if not deep and isinstance(step, dict) and step.get("type") in ("task", "human_approval"):
            yield place, step


def wrong_agent(actor: Actor, agent: Any, at: Loc) -> list[Detail]:
    """By the rule of runs."""
    if not isinstance(agent, str):
        return []
    violations = terms_violations(actor, {"agent": agent})
    return [(at, message, kind) for loc, message, kind in violations if loc == ("body", "agent")]


def _needs(step: Step) -> list[tuple[int, dict[str, Any]]]:
    """Those that can be looked up, each with its place in the quorum."""
    approvers = step.get("approvers") if step["type"] == "human_approval" else None
    needs = approvers[: rules.MAX_APPROVERS] if isinstance(approvers, list) else []
    return [(k, need) for k, need in enumerate(needs) if isinstance(need, dict) and isinstance(need.get("group"), str)]


def _wrong_approvers(groups: Mapping[str, Group], step: Step, at: Loc) -> list[Detail]:
    needs = _needs(step)
    wrong = wrong_needs(groups, [need for _, need in needs], ())
    return [((*at, needs[int(loc[0])][0], *loc[1:]), message, kind) for loc, message, kind in wrong]


# --- the other way round


def users_of_group(team_id: str, words: Sequence[str]) -> list[str]:
    """Active workflows and unfinished runs whose steps name a group by one of these words (settings.GROUP_USERS)."""
    workflows = Workflow.objects.filter(team_id=team_id, status="active")
    runs = Execution.objects.filter(run__team_id=team_id, run__finished_at__isnull=True)
    return [
        *in_words("workflow", "workflows", _naming(workflows, "test", words)),
        *in_words("unfinished workflow run", "unfinished workflow runs", _naming(runs, "run__test", words)),
    ]


def _naming(rows: QuerySet[Any], world: str, words: Sequence[str]) -> Counter[bool]:
    """How many documents of each world name one of the words; the database looks for its letters first."""
    written = Q(pk__in=[])
    for word in words:
        written |= Q(text__contains=json.dumps(word))
    documents = rows.annotate(text=Cast("definition", TextField())).filter(written).values_list(world, "definition")
    return Counter(test for test, definition in documents if _names(definition["steps"], words))


def _names(steps: list[Step], words: Sequence[str]) -> bool:
    named = (step for _, step in _named_steps(steps) if step["type"] == "human_approval")
    return any(
        step.get("assignee") in words or any(need["group"] in words for _, need in _needs(step)) for step in named
    )

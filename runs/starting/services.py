"""Making runs: what a caller may ask for, and the rows that come of it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_q.tasks import async_task

from accounts.access import get_team
from accounts.actor import Actor
from accounts.limits import spend
from accounts.secrets.access import unknown_names
from accounts.webhooks import targets
from accounts.webhooks.signing import new_secret
from billing.services import run_gate, step_price
from database.ids import new_id
from database.sealing import seal
from database.sql import prepared
from inference.specs import usual_agent
from machines.access import get_machine, machines_of
from machines.errors import MachineNotFound
from machines.models import Machine
from runs import sql
from runs.agents.base import Bound
from runs.agents.registry import OWN, is_known, names
from runs.errors import TooManyRuns
from runs.log import begin
from runs.models import Run
from runs.schemas import RunCreate, Terms
from runs.secrets.handles import handles_in
from runs.starting.machine_choice import choose, hold_team, no_machine, usable_machines
from web.errors import Invalid
from web.json_values import Detail

# What a task of a workflow run has from it, unless its step says otherwise; docs/api/workflows.md section 6.
INHERITED = (
    "team_id", "test", "workflow_id", "machine_id", "agent", "cua_version", "instructions", "system_prompt", "max_steps",
    "on_awaiting_human", "awaiting_human_timeout_seconds", "on_timeout", "on_budget", "human_in_the_loop",
    "permission_mode", "end_user", "priority", "deadline_clock", "created_by", "owner_id", "request_id",
)  # fmt: skip
_NOT_WITH_TEST_KEYS = (
    "The model {agent} answers live keys only: in the test world nothing real is asked and nothing is paid. "
    "Use scripted or playbook."
)


def create_run(actor: Actor, body: RunCreate, request_id: str) -> Run:
    """A new queued run. Raises Invalid, NoMachine, MachineNotFound, InsufficientCredits, BudgetExceeded, TooManyRuns, RateLimited."""
    agent = agent_of(actor, body.agent)
    if wrong := violations(actor, body.model_dump() | {"agent": agent}):
        raise Invalid(*wrong)
    chosen = body.machine_id is None and not actor.test
    machine = choose(actor.team_id, agent, body.goal) if chosen else named_machine(actor, body.machine_id)
    if machine is None and not actor.test:
        raise no_machine(actor)
    run_gate(actor, step_price(body.cua_version))
    run = _new_run(actor, body, request_id, agent, machine)
    run.task, run.input, run.output_schema = body.goal, body.input, body.output_schema
    run.owns_machine, run.machine_id = machine is None, run.machine_id or f"mch_of_{run.id}"
    _admit(actor, run, _drive, chosen=chosen)
    return run


def create_workflow_run(
    actor: Actor, terms: Terms, request_id: str, also: Callable[[Run], None], *, price: int | None, **fields: Any
) -> Run:
    """A new queued workflow run with `fields`. `also` writes what else belongs to it, in the same transaction.

    `price`: cents of one agent step of the cheapest task, None without any. Raises as create_run().
    """
    agent = agent_of(actor, terms.agent)
    if wrong := terms_violations(actor, terms.model_dump() | {"agent": agent}):
        raise Invalid(*wrong)
    machine = named_machine(actor, terms.machine_id) or _default(actor)
    if price is not None:
        run_gate(actor, price, fields.get("workflow_id"))
    run = _new_run(actor, terms, request_id, agent, machine)
    run.id = new_id("wfr")
    run.root_id, run.kind, run.owns_machine, run.task = run.id, "workflow", True, terms.task
    for name, value in fields.items():
        setattr(run, name, value)
    _admit(actor, run, also)
    return run


def create_task(
    parent: Run,
    step_id: str,
    task: str,
    options: Mapping[str, Any],
    bound: Sequence[Bound] = (),
    secrets: Mapping[str, str] | None = None,
    *,
    choosing: bool = False,
) -> Run:
    """A child run of a workflow run whose lock the caller holds. Raises MachineNotFound.

    `options`: what the step says; machine_id None is a template that named none. `bound`: where values stand in the task;
    `secrets`: those among them that are secret, by name. `choosing`: nobody named a machine for it.
    """
    run = Run(
        **{name: getattr(parent, name) for name in INHERITED} | dict(options),
        parent=parent,
        root_id=parent.id,
        step_id=step_id,
        task=task,
        bound=[[b.at, b.length, b.secret] for b in bound],
        secrets=seal(dict(secrets)) if secrets else None,
    )
    run.max_steps = min(run.max_steps, settings.MAX_STEPS_CEILING)
    if run.human_in_the_loop is False and run.on_awaiting_human == "pause":
        run.on_awaiting_human = "fail"  # a step may ask to wait, but this run never does
    _take_machine_for(run, bound, choosing=choosing and not run.test)
    _begin(run)
    if run.stopped_at and parent.stopped_at is None:  # its deadline must not go on while its task cannot
        parent.stopped_at = run.stopped_at
        parent.save(update_fields=["stopped_at"])
    _drive(run)
    return run


def _take_machine_for(task: Run, bound: Sequence[Bound], *, choosing: bool) -> None:
    if choosing:
        hold_team(task.team_id)
        machine = choose(task.team_id, task.agent, task.task, task.parent_id, tuple(bound))
        task.machine_id = machine.id if machine else None
    else:
        machine = usable_machines(task.team_id, test=task.test).filter(id=task.machine_id).first()
    if machine is None and not task.test:
        raise MachineNotFound
    task.machine_kind = machine.kind if machine else "simulated"
    task.owns_machine, task.machine_id = machine is None, task.machine_id or f"mch_of_{task.id}"


def _new_run(actor: Actor, terms: Terms, request_id: str, agent: str, machine: Machine | None) -> Run:
    now = timezone.now()
    fields = terms.model_dump(include=set(Terms.model_fields) - {"task", "machine_id", "agent", "on_awaiting_human"})
    run = Run(
        **fields,
        team_id=actor.team_id,
        test=actor.test,
        agent=agent,
        machine_id=machine.id if machine else terms.machine_id,
        machine_kind=machine.kind if machine else "simulated",
        on_awaiting_human=terms.on_awaiting_human or ("fail" if terms.human_in_the_loop is False else "pause"),
        created_by=actor.ref(),
        owner_id=actor.owner_id,
        request_id=request_id,
        created_at=now,
        deadline_at=now + timedelta(seconds=terms.deadline_seconds) if terms.deadline_seconds else None,
        webhook_secret=seal(new_secret()) if terms.webhook_url else None,
    )
    run.max_steps = min(run.max_steps, settings.MAX_STEPS_CEILING)
    run.root_id = run.id
    return run


def _admit(actor: Actor, run: Run, also: Callable[[Run], None], *, chosen: bool = False) -> None:
    """`chosen`: its machine is our choice, and chosen again now that nobody else can choose."""
    spend(actor, "runs", settings.RATE_LIMIT_RUNS_PER_MINUTE)
    with transaction.atomic():
        _check_room(actor)
        if chosen and (machine := choose(run.team_id, run.agent, run.task)):
            run.machine_id, run.machine_kind = machine.id, machine.kind
        _begin(run)
        also(run)


def _begin(run: Run) -> None:
    """A run that is made in the scope of a stop waits for its lift from the beginning."""
    machine = None if run.owns_machine else run.machine_id
    scopes = {"team": run.team_id, "test": run.test, "workflow": run.workflow_id, "machine": machine}
    if prepared(sql.STOPPED, scopes) is not None:
        run.stopped_at = run.created_at
    begin(run, ("status", {"status": "queued"}))


def _drive(run: Run) -> None:
    async_task("runs.tasks.drive", run.id)


def violations(actor: Actor, values: Mapping[str, Any]) -> list[Detail]:
    """What is wrong with a new run beyond the form of each field; `values` may be of any type."""
    return [*_check_task(values), *_check_secrets(actor, values), *terms_violations(actor, values)]


def terms_violations(actor: Actor, values: Mapping[str, Any]) -> list[Detail]:
    return [*_check_people(values), *_check_agent(actor, values.get("agent")), *_check_webhook(values)]


def _check_task(values: Mapping[str, Any]) -> list[Detail]:
    task, data = values.get("task"), values.get("input")
    if task is None and data is None:
        return [(("body", "task"), "Give exactly one of task and input.", "missing")]
    wrong: list[Detail] = []
    if task is not None and data is not None:
        wrong.append((("body", "task"), "Give exactly one of task and input.", "value_error"))
    if isinstance(data, dict) and (kind := _wrong_goal(data.get("goal"))):
        wrong.append((("body", "input", "goal"), "Must be text of 1 to 16000 characters.", kind))
    return wrong


def _check_secrets(actor: Actor, values: Mapping[str, Any]) -> list[Detail]:
    """Every secret that the task or the input names is there."""
    named = [place for part in ("task", "input") for place in handles_in(values.get(part), "body", part)]
    unknown = set(unknown_names(actor, (name for _, name in named)))
    wrong = {loc: name for loc, name in reversed(named) if name in unknown}  # the first of each text
    return [(loc, f'There is no secret "{name}".', "value_error") for loc, name in wrong.items()]


def _wrong_goal(goal: Any) -> str | None:
    if goal is None:
        return "missing"
    if not isinstance(goal, str):
        return "type_error"
    return None if 1 <= len(goal) <= 16_000 else "value_error"


def _check_people(values: Mapping[str, Any]) -> list[Detail]:
    """Whether the ways of calling for a person fit together (docs/api/runs.md section 3)."""
    people = values.get("human_in_the_loop")
    wrong: list[Detail] = []
    if values.get("permission_mode") in ("approval", "plan") and people is not True:
        wrong.append((("body", "permission_mode"), "Needs human_in_the_loop true.", "value_error"))
    if people is False and values.get("on_awaiting_human") == "pause":
        wrong.append((("body", "on_awaiting_human"), "A run without people cannot pause for one.", "value_error"))
    if people is False and values.get("on_budget") == "ask":
        wrong.append((("body", "on_budget"), "A run without people cannot ask one.", "value_error"))
    return wrong


def _check_agent(actor: Actor, name: Any) -> list[Detail]:
    agent = agent_of(actor, name if isinstance(name, str) else None)
    if not is_known(agent):
        return [(("body", "agent"), f"Unknown agent profile. Known: {', '.join(names())}.", "value_error")]
    if actor.test and agent not in OWN:
        return [(("body", "agent"), _NOT_WITH_TEST_KEYS.format(agent=agent), "value_error")]
    if agent == "scripted" and not actor.test and not settings.ALLOW_SCRIPTED_LIVE:
        return [(("body", "agent"), "The scripted agent works with test keys only.", "value_error")]
    return []


def _check_webhook(values: Mapping[str, Any]) -> list[Detail]:
    url = values.get("webhook_url")
    problem = targets.problem(url) if isinstance(url, str) else None
    return [(("body", "webhook_url"), problem, "value_error")] if problem else []


def agent_of(actor: Actor, name: str | None) -> str:
    """The profile asked for, else the usual one."""
    if name:
        return name
    return "scripted" if actor.test else get_team(actor).default_agent or usual_agent()


def _default(actor: Actor) -> Machine | None:
    return None if actor.test else choose(actor.team_id, "", None)


def named_machine(actor: Actor, machine_id: str | None) -> Machine | None:
    """The machine asked for. Live: raises MachineNotFound for one that is not there; test runs may name such a one."""
    if machine_id is None:
        return None
    if actor.test:
        return machines_of(actor).filter(id=machine_id).exclude(status="terminated").first()
    machine = get_machine(actor, machine_id)
    if machine.status in ("terminated", "terminating"):
        raise MachineNotFound
    return machine


def _check_room(actor: Actor) -> None:
    """Runs made at once are counted one after the other. Raises TooManyRuns."""
    limit = hold_team(actor.team_id)
    active = prepared(sql.ACTIVE_RUNS, {"team": actor.team_id, "test": actor.test})
    assert active is not None  # an aggregate
    if active[0] >= limit:
        raise TooManyRuns(limit=limit, retry_after=5)

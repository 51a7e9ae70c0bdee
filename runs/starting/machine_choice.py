"""Which machine a live run gets that names none (docs/api/runs.md section 2, row machine_id)."""

from itertools import chain

from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, When

from accounts.access import get_team
from accounts.actor import Actor
from database.sql import prepared
from machines.errors import MachineNotFound, NoMachine
from machines.models import Machine, TakeoverLease
from machines.services import lacks_of, no_machine_words
from runs import sql
from runs.agents.base import Bound
from runs.agents.machine_kind import kind_named
from runs.agents.playbook.machine_kind import KINDS, kind_needed
from runs.models import Run
from web.errors import Refusal

NAME_ONE = "Name a machine; the team has no default machine."


def hold_team(team_id: str) -> int:
    """Until the transaction ends nobody else starts a run of this team: two runs made at once do not take the same idle machine.

    Returns the most runs that the team may have at once.
    """
    row = prepared(sql.LOCK_TEAM, {"team": team_id})
    assert row is not None
    return int(row[0])


def kind_of(agent: str, task: str | None, bound: tuple[Bound, ...] = ()) -> str | None:
    """The kind of machine that the task needs, where its agent can tell; the values in it say nothing of that.

    For a model the sentences that the playbook could read tell, too, else the words of the task.
    """
    if not task or agent in ("", "scripted"):
        return None
    needed = kind_needed(task, bound)
    return needed if needed or agent == "playbook" else kind_named(task, bound)


def choose(
    team_id: str, agent: str, task: str | None, workflow_run: str | None = None, bound: tuple[Bound, ...] = ()
) -> Machine | None:
    """The machine for this task: one of the kind that the task needs, where its agent can tell, else the team's default.

    `workflow_run`: whose tasks' machines come first. None: the team has no default either.
    """
    machines = usable_machines(team_id, test=False)
    kind = kind_of(agent, task, bound)
    best = _best_first(machines.filter(kind=kind), workflow_run).first() if kind else None
    return best or machines.filter(id=F("team__default_machine_id")).first()


def usable_machines(team_id: str, *, test: bool) -> QuerySet[Machine]:
    return Machine.objects.filter(team_id=team_id, test=test).exclude(status__in=("terminating", "terminated"))


def _best_first(machines: QuerySet[Machine], workflow_run: str | None) -> QuerySet[Machine]:
    """Where a workflow worked before, there its files are. Then: idle before busy before what does not run; the default; the oldest."""
    runs = Run.objects.filter(machine_id=OuterRef("id"))
    controlled = TakeoverLease.objects.filter(machine_id=OuterRef("id"), ended_at__isnull=True)
    busy = (
        ~Q(status="running")
        | Q(current_run_id__isnull=False)
        | Exists(controlled)
        | Exists(runs.filter(status="queued", owns_machine=False))
    )
    does_not_run = ~Q(status__in=("running", "creating", "starting"))
    return machines.order_by(
        Case(When(Exists(runs.filter(parent_id=workflow_run or "")), then=0), default=1),
        Case(When(does_not_run, then=2), When(busy, then=1), default=0),
        Case(When(id=F("team__default_machine_id"), then=0), default=1),
        "created_at",
        "id",
    )


def no_machine(actor: Actor, words: str = NAME_ONE) -> Refusal:
    """The refusal where choose() found nothing: why, and the way on; `words` where a machine could be named or made."""
    machines, default = Machine.objects.filter(team_id=actor.team_id, test=False), get_team(actor).default_machine_id
    if default and not machines.filter(id=default).exists():
        return MachineNotFound()
    if machines.exclude(status__in=("terminating", "terminated")).exists():
        return NoMachine(words)
    lacks = [lacks_of(kind) for kind in KINDS]
    if all(lacks):
        return NoMachine(no_machine_words("No machine", list(dict.fromkeys(chain(*lacks)))))
    return NoMachine(f"{words} Make one (page Machines, POST /v1/machines), or use the test key.")

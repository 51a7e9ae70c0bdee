"""Which machine a live run gets that names none (contract/runs.md section 2, row machine_id)."""

from itertools import chain

from accounts.access import get_team
from accounts.actor import Actor
from database.sql import fetch, prepared
from machines.errors import MachineNotFound, NoMachine
from machines.models import Machine
from machines.services import lacks_of, no_machine_words
from runs.agents.base import Bound
from runs.agents.machine_kind import kind_named
from runs.agents.playbook.machine_kind import KINDS, kind_needed
from web.errors import Refusal

# Where a workflow worked before, there its files are. Then: idle before busy before what does not run; the default; the oldest.
_BEST = """
id = (
  SELECT m.id FROM machines_machine m JOIN accounts_team t ON t.id = m.team_id
  WHERE m.team_id = %(team)s AND NOT m.test AND m.kind = %(kind)s AND m.status NOT IN ('terminating', 'terminated')
  ORDER BY
    EXISTS (SELECT 1 FROM runs_run s WHERE s.parent_id = %(workflow_run)s::text AND s.machine_id = m.id) DESC,
    CASE
      WHEN m.status NOT IN ('running', 'creating', 'starting') THEN 2
      WHEN m.status <> 'running' OR m.current_run_id IS NOT NULL THEN 1
      WHEN EXISTS (SELECT 1 FROM machines_takeoverlease l WHERE l.machine_id = m.id AND l.ended_at IS NULL) THEN 1
      WHEN EXISTS (
        SELECT 1 FROM runs_run q WHERE q.machine_id = m.id AND q.status = 'queued' AND NOT q.owns_machine
      ) THEN 1
      ELSE 0
    END,
    m.id = t.default_machine_id DESC NULLS LAST, m.created_at, m.id
  LIMIT 1
)
"""
_DEFAULT = """
id = (SELECT default_machine_id FROM accounts_team WHERE id = %(team)s)
  AND team_id = %(team)s AND NOT test AND status NOT IN ('terminating', 'terminated')
"""
NAME_ONE = "Name a machine; the team has no default machine."
_HOLD = "SELECT id FROM accounts_team WHERE id = %(team)s FOR NO KEY UPDATE"


def hold_team(team_id: str) -> None:
    """Until the transaction ends nobody else chooses for this team: two runs made at once do not take the same idle machine."""
    prepared(_HOLD, {"team": team_id})


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
    kind = kind_of(agent, task, bound)
    best = {"team": team_id, "kind": kind, "workflow_run": workflow_run}
    return (fetch(Machine, _BEST, best) if kind else None) or fetch(Machine, _DEFAULT, {"team": team_id})


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

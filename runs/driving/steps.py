"""The two commits of a step: the intent before acting, the outcome after. Each is one statement, fenced by the lease.

A worker whose lease_epoch is no longer the run's, or whose run is no longer running, changes nothing.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from psycopg.types.json import Jsonb

from approvals.models import Decision
from approvals.policies import rules as policies
from billing import services as billing
from billing.errors import BudgetReached
from database.sql import prepared
from machines.drivers.base import Frame
from runs.log import Event
from runs.models import Run, Step

# Shared tail: events and pictures of the change, and the bells.
_TAIL = """
e AS (INSERT INTO runs_runevent (run_id, seq, type, data, created_at)
  SELECT r.id, r.next_seq - %(n)s::int + t.ord - 1, t.event->>0, t.event->1, %(now)s::timestamptz
  FROM r, jsonb_array_elements(%(events)s::jsonb) WITH ORDINALITY AS t(event, ord)),
p AS (INSERT INTO runs_screenshot (run_id, index, step, phase, sha256, width, height, text, taken_at)
  SELECT r.id, (s->>'index')::int, %(index)s::int, s->>'phase', s->>'sha256', (s->>'width')::int, (s->>'height')::int,
         s->>'text', %(now)s::timestamptz
  FROM r, jsonb_array_elements(%(pictures)s::jsonb) AS s)
SELECT r.next_seq, pg_notify('run_events', r.id || ':' || (r.next_seq - 1)),
       pg_notify('team_events', r.team_id || ':' || CASE WHEN r.test THEN 'test' ELSE 'live' END) FROM r
"""
# The run's row is locked first, as everywhere, and then held are the rules by which the action was judged: what changed since
# counts (accounts/team/rules_version.py). The mode and the plan are rules too.
_INTENT = (
    """
WITH l AS (SELECT id, team_id, test FROM runs_run
  WHERE id = %(run)s AND lease_epoch = %(epoch)s AND status = 'running' AND controlled_by IS NULL AND stopped_at IS NULL
    AND jsonb_array_length(inbox) = jsonb_array_length(%(inbox)s::jsonb)
    AND permission_mode = %(mode)s AND coalesce((plan->>'approved')::boolean, false) = %(plan_approved)s FOR NO KEY UPDATE),
v AS (SELECT l.id FROM l, accounts_rulesversion v
  WHERE v.team_id = l.team_id AND v.test = l.test AND v.version = %(rules)s FOR SHARE OF v),
r AS (UPDATE runs_run SET next_seq = next_seq + %(n)s::int, next_screenshot = %(next_screenshot)s::int,
    inbox = '[]', inbox_secrets = NULL, interrupted = false
  FROM v WHERE runs_run.id = v.id RETURNING runs_run.id, runs_run.next_seq, runs_run.team_id, runs_run.test),
s AS (INSERT INTO runs_step (run_id, index, status, call_id, action, host, text, skipped, cost_cents, inbox, inbox_secrets,
                             approval_id, started_at)
  SELECT r.id, %(index)s::int, 'acting', %(call_id)s::text, %(action)s::jsonb, %(host)s::text, %(text)s::text, %(skipped)s::boolean, 0,
         %(inbox)s::jsonb, %(inbox_secrets)s::bytea, %(approval_id)s::text, %(now)s::timestamptz FROM r),
"""
    + _TAIL
)
# The run's row is locked first, as everywhere, and only then the step's.
_OUTCOME = (
    """
WITH l AS (SELECT id FROM runs_run WHERE id = %(run)s AND lease_epoch = %(epoch)s AND status = 'running' FOR UPDATE),
s AS (UPDATE runs_step SET status = 'completed', success = %(success)s, error = %(error)s, skipped = %(skipped)s,
    output = %(output)s::text, exit_code = %(exit_code)s::smallint,
    cost_cents = %(cents)s::int, inbox = '[]', inbox_secrets = NULL, finished_at = %(now)s
  FROM l WHERE run_id = l.id AND call_id = %(call_id)s AND status = 'acting' RETURNING run_id),
r AS (UPDATE runs_run SET next_seq = next_seq + %(n)s::int, next_screenshot = %(next_screenshot)s::int, steps_completed = %(index)s::int,
    cost_cents = cost_cents + %(cents)s::int, memory = %(memory)s, last_result = %(last)s, takeovers = 0
  FROM s WHERE id = s.run_id RETURNING id, next_seq, team_id, test),
"""
    + _TAIL
)
_DELIVERED = """
UPDATE approvals_decision SET delivered_at = coalesce(delivered_at, %(now)s::timestamptz), execution_started_at =
  CASE WHEN approval_id = %(begun)s::text THEN %(now)s::timestamptz ELSE execution_started_at END
WHERE counts AND approval_id = ANY(%(read)s::text[])
"""


@dataclass(frozen=True)
class Picture:
    """A picture as it goes into the log: its file is already stored under `sha256`."""

    index: int
    phase: str
    sha256: str
    frame: Frame

    @property
    def row(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "phase": self.phase,
            "sha256": self.sha256,
            "width": self.frame.width,
            "height": self.frame.height,
            "text": self.frame.text,
        }

    def event(self, step: int) -> Event:
        size = {"width": self.frame.width, "height": self.frame.height}
        return "screenshot", {"index": self.index, "step": step, "phase": self.phase} | size


@dataclass(frozen=True)
class Intent:
    """What is about to be done. `hold` are the arguments of billing.services.hold, None in the test world."""

    run_id: str
    epoch: int
    index: int
    call_id: str
    action: dict[str, Any]
    host: str | None
    text: str
    events: tuple[Event, ...]
    pictures: tuple[Picture, ...]
    next_screenshot: int
    at: datetime
    inbox: list[Any] = field(default_factory=list)
    inbox_secrets: bytes | memoryview | None = None
    approval_id: str | None = None
    hold: dict[str, Any] | None = None
    policy_id: str | None = None
    skipped: bool = False  # denied: it will not be done
    root_id: str | None = None  # of a task: its workflow run, whose budget has to have room for `price`
    price: int = 0


@dataclass(frozen=True)
class Judged:
    """By what an action was judged: the version of the team's rules, the run's mode, whether its plan was approved."""

    rules: int
    mode: str
    plan_approved: bool


@dataclass(frozen=True)
class Outcome:
    """What came of it; `cents` is the price of the step, `hold_id` what was held for it."""

    run_id: str
    epoch: int
    index: int
    call_id: str
    success: bool
    error: str | None
    skipped: bool
    cents: int
    memory: dict[str, Any]
    last: dict[str, Any]
    events: tuple[Event, ...]
    pictures: tuple[Picture, ...]
    next_screenshot: int
    at: datetime
    hold_id: str | None = None
    approval_id: str | None = None

    @property
    def written(self) -> dict[str, Any]:
        return written(self.last.get("data") or {})


def written(data: dict[str, Any]) -> dict[str, Any]:
    """What the event of a result tells besides: `output` and `exit_code` of a command, which its step keeps, and `note`: the
    page asked for a file, the field shows something else."""
    return {name: data[name] for name in ("output", "exit_code", "note") if data.get(name) is not None}


class LeaseLost(Exception):
    """Another worker drives the run, it has ended, a stop holds it, a person controls its machine, or sent something that the
    agent has not read, or the rules changed by which the action was judged: nothing is written."""


def _tail(change: Intent | Outcome) -> dict[str, Any]:
    return {
        "run": change.run_id,
        "epoch": change.epoch,
        "index": change.index,
        "call_id": change.call_id,
        "now": change.at,
        "n": len(change.events),
        "events": Jsonb([list(e) for e in change.events]),
        "pictures": Jsonb([p.row for p in change.pictures]),
        "next_screenshot": change.next_screenshot,
    }


def _together(*more: object) -> AbstractContextManager[None]:
    """One statement is a transaction by itself; with `more` to write beside it they need one around them."""
    return transaction.atomic() if any(more) else nullcontext()


def write_intent(intent: Intent, judged: Judged) -> str | None:
    """Commit the intent with the hold of its price; returns the hold's id. Raises LeaseLost, WalletEmpty, BudgetReached."""
    values = _tail(intent) | {
        "action": Jsonb(intent.action),
        "host": intent.host,
        "text": intent.text,
        "skipped": intent.skipped,
        "inbox": Jsonb(intent.inbox),
        "inbox_secrets": intent.inbox_secrets,
        "approval_id": intent.approval_id,
        "rules": judged.rules,
        "mode": judged.mode,
        "plan_approved": judged.plan_approved,
    }
    with _together(intent.hold, intent.policy_id, intent.inbox, intent.root_id):
        if intent.root_id:
            _check_root_budget(intent.root_id, intent.price)
        if prepared(_INTENT, values) is None:
            raise LeaseLost
        _deliver(intent)
        return billing.hold(**intent.hold) if intent.hold else None


def _check_root_budget(root_id: str, price: int) -> None:
    """Under the lock of the workflow run, so that tasks at work at once cannot pass its budget together. Raises BudgetReached."""
    root = Run.objects.select_for_update(no_key=True).get(id=root_id)
    if not root.budget_cents:
        return
    tasks = Run.objects.filter(parent_id=root_id)
    acting = tasks.filter(steps__status="acting").values_list("cua_version", flat=True)
    used = sum(tasks.values_list("cost_cents", flat=True)) + sum(map(billing.step_price, acting))
    if used + price > root.budget_cents:
        raise BudgetReached("run", root.budget_cents, used)


def _deliver(intent: Intent) -> None:
    """The agent has read what people sent; what they approved begins. And the policy that allowed it was used."""
    if intent.policy_id:
        policies.used(intent.policy_id)
    delivered(intent.inbox, intent.at, intent.approval_id)


def delivered(inbox: list[Any], at: datetime, begun: str | None = None) -> None:
    """Receipts: the agent has read these messages, and what `begun` approved begins. In the transaction of its move."""
    if not inbox:
        return
    read = [m["approval_id"] for m in inbox if "approval_id" in m]
    prepared(_DELIVERED, {"read": read, "begun": begun, "now": at})
    allowed = [m for m in inbox if m["kind"] == "tool" and m["verdict"] == "approve" and not m.get("used")]
    if passed_over := [m["approval_id"] for m in allowed if m["approval_id"] != begun]:
        rows = Decision.objects.filter(counts=True, approval_id__in=passed_over, outcome__isnull=True)
        rows.update(outcome="not_executed", error="The agent did something else.")


def write_outcome(outcome: Outcome) -> None:
    """Commit the outcome and capture its price. May be repeated after a lost connection. Raises LeaseLost."""
    values = _tail(outcome) | {
        "success": outcome.success,
        "error": outcome.error,
        "skipped": outcome.skipped,
        "cents": outcome.cents,
        "memory": Jsonb(outcome.memory),
        "last": Jsonb(outcome.last),
        "output": outcome.written.get("output"),
        "exit_code": outcome.written.get("exit_code"),
    }
    with _together(outcome.hold_id, outcome.approval_id):
        if prepared(_OUTCOME, values) is None:
            if Step.objects.filter(run_id=outcome.run_id, call_id=outcome.call_id, status="completed").exists():
                return  # it was committed before the connection broke
            raise LeaseLost
        if outcome.hold_id:
            billing.capture(outcome.hold_id)
        if outcome.approval_id:
            word = "skipped" if outcome.skipped else "executed"
            Decision.objects.filter(counts=True, approval_id=outcome.approval_id).update(
                executed_at=outcome.at, outcome=word, error=outcome.error
            )

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
from approvals.policies import services as policies
from billing import services as billing
from billing.errors import BudgetReached
from database.sql import prepared
from machines.drivers.base import Frame
from runs import sql
from runs.log import Event
from runs.models import Run, Step


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
    agent has not read, or the rules changed by which the action was judged, or the policy that allowed it is used up: nothing is
    written."""


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
        if prepared(sql.INTENT, values) is None:
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
    """The agent has read what people sent; what they approved begins. And the policy that allowed it was used: by somebody else
    for the last time, and nothing is written."""
    if intent.policy_id and not policies.count_use(intent.policy_id):
        raise LeaseLost
    delivered(intent.inbox, intent.at, intent.approval_id)


def delivered(inbox: list[Any], at: datetime, begun: str | None = None) -> None:
    """Receipts: the agent has read these messages, and what `begun` approved begins. In the transaction of its move."""
    if not inbox:
        return
    read = [m["approval_id"] for m in inbox if "approval_id" in m]
    prepared(sql.DELIVERED, {"read": read, "begun": begun, "now": at})
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
        if prepared(sql.OUTCOME, values) is None:
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

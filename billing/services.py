"""The wallet: gates before a run, holds before a step, captures and releases after it.

Holds and releases change what is available and so lock the wallet's row; a capture moves held money to usage and needs no lock.
Test keys bill nothing: callers ask `billed()` first.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from accounts.access import team_setting
from accounts.actor import Actor
from accounts.audit.services import audit
from billing import access, sql
from billing.errors import BudgetExceeded, BudgetReached, InsufficientCredits, WalletEmpty
from billing.models import Transaction, Wallet, WorkflowBudget
from database.ids import new_id
from database.sql import prepared
from web.errors import Invalid

MACHINE_GATE_CENTS = 20
NOTHING: Mapping[str, int] = MappingProxyType({})


def step_price(engine: str) -> int:
    """Cents of one agent step of this engine (cua_version)."""
    return settings.PRICE_STEP_CENTS[engine]


def run_gate(actor: Actor, price: int, workflow_id: str | None = None) -> None:
    """May a live run start at all? Raises InsufficientCredits or BudgetExceeded; test keys always may."""
    if actor.test:
        return
    try:
        _check_budgets(actor.team_id, actor.id if actor.kind == "api_key" else None, workflow_id, price)
    except BudgetReached as reached:
        raise BudgetExceeded(scope=reached.scope, limit_cents=reached.limit, spent_cents=reached.used) from reached
    available = access.available(actor.team_id)
    if available < price:
        raise InsufficientCredits(required=price, balance=available)


def set_workflow_budget(team_id: str, workflow_id: str, cents: int) -> None:
    """What the workflow may cost in a month; 0 is no limit. In the transaction that changes the workflow."""
    if cents:
        limit = {"team_id": team_id, "limit_cents": cents}
        WorkflowBudget.objects.update_or_create(workflow_id=workflow_id, defaults=limit)
    else:
        WorkflowBudget.objects.filter(workflow_id=workflow_id).delete()


def machine_gate(actor: Actor) -> None:
    """Live machines need 20 cents at hand (a gate, not a fee). Raises InsufficientCredits."""
    if actor.test:
        return
    available = access.available(actor.team_id)
    if available < MACHINE_GATE_CENTS:
        raise InsufficientCredits(required=MACHINE_GATE_CENTS, balance=available)


def _check_budgets(
    team_id: str, key_id: str | None, workflow_id: str | None, price: int, lifted: Mapping[str, int] = NOTHING
) -> None:
    """`lifted`: cents that people added to a limit for this run alone, by scope. Raises BudgetReached."""
    limits: list[tuple[str, int, dict[str, str]]] = []
    of_workflow = WorkflowBudget.objects.filter(workflow_id=workflow_id).first() if workflow_id else None
    if of_workflow is not None:
        limits.append(("workflow", of_workflow.limit_cents, {"workflow_id": of_workflow.workflow_id}))
    of_key = prepared(sql.KEY_BUDGET, {"key": key_id}) if key_id else None
    if key_id and of_key and of_key[0]:
        limits.append(("key", of_key[0], {"key_id": key_id}))
    team_budget = team_setting(team_id, "budget_cents_month")
    if team_budget:
        limits.append(("team", team_budget, {}))
    for scope, limit, only in limits:
        used = sum(access.spent_and_held(team_id, **only))
        if used + price > limit + lifted.get(scope, 0):
            raise BudgetReached(scope, limit + lifted.get(scope, 0), used)


def hold(
    *,
    team_id: str,
    run_id: str,
    step_index: int,
    cents: int,
    key_id: str | None,
    created_by: dict[str, Any],
    workflow_id: str | None = None,
    lifted: Mapping[str, int] = NOTHING,
) -> str:
    """Hold the price of one step and return the hold's id; the caller's transaction commits it.

    Raises WalletEmpty or BudgetReached. Never lets the wallet fall below zero, however many runs work at once.
    """
    values = {
        "id": new_id("led"),
        "team": team_id,
        "cents": cents,
        "run": run_id,
        "step": step_index,
        "key": key_id,
        "workflow": workflow_id,
        "endpoint": None,
        "description": f"Step {step_index}",
        "by": Jsonb(created_by),
        "checked": False,
    }
    return take_hold(values, lifted)


def take_hold(values: dict[str, Any], lifted: Mapping[str, int] = NOTHING) -> str:
    """Insert the hold that `values` describe; its id. Raises WalletEmpty or BudgetReached."""
    if prepared(sql.HOLD, values) is not None:
        return str(values["id"])
    Wallet.objects.select_for_update().filter(team_id=values["team"]).first()
    _check_budgets(values["team"], values["key"], values["workflow"], values["cents"], lifted)
    if prepared(sql.HOLD, values | {"checked": True}) is None:
        raise WalletEmpty
    return str(values["id"])


def capture(hold_id: str) -> None:
    """The step completed: what was held is earned. The unique keys make a second capture of a step impossible."""
    if prepared(sql.CAPTURE, {"id": new_id("led"), "hold": hold_id}) is None:
        raise IntegrityError(f"There is no hold {hold_id}.")


def release_holds(run_id: str) -> int:
    """Give back whatever the run still holds: the step failed, was cancelled, or its worker died. Returns the cents."""
    with transaction.atomic():
        open_holds = access.open_holds(run_id=run_id)
        released = 0
        for row in open_holds:
            released += release_hold(row)
        return released


def release_hold(row: Transaction) -> int:
    """Give one hold back, in the caller's transaction: cents, 0 when it has ended."""
    wallet = Wallet.objects.select_for_update().get(team_id=row.team_id)
    if Transaction.objects.filter(hold_id=row.id).exists():
        return 0
    wallet.available_cents += row.amount_cents
    wallet.save(update_fields=["available_cents"])
    Transaction.objects.create(
        team_id=row.team_id,
        type="release",
        source="held",
        target="wallet",
        amount_cents=row.amount_cents,
        available_after_cents=wallet.available_cents,
        run_id=row.run_id,
        step_index=row.step_index,
        key_id=row.key_id,
        workflow_id=row.workflow_id,
        endpoint=row.endpoint,
        hold_id=row.id,
        description=f"{row.description} did not complete",
        created_by=row.created_by,
    )
    return row.amount_cents


def charge_machine(actor: Actor, machine_id: str, cents: int, words: str) -> bool:
    """Take the price of machine time, or what there is of it, from the wallet. False when nothing is left there."""
    with transaction.atomic():
        wallet = Wallet.objects.select_for_update().filter(team_id=actor.team_id).first()
        if wallet is None:
            return False
        charged = min(cents, wallet.available_cents)
        if charged:
            wallet.available_cents -= charged
            wallet.save(update_fields=["available_cents"])
            Transaction.objects.create(
                team_id=actor.team_id,
                type="machine_time",
                source="wallet",
                target="usage",
                amount_cents=charged,
                available_after_cents=wallet.available_cents,
                machine_id=machine_id,
                description=words,
                created_by=actor.ref(),
            )
        return wallet.available_cents > 0


def topup(actor: Actor, cents: int, reference: str, *, kind: str = "topup", description: str = "") -> Transaction:
    """Add money, exactly once per reference: a second call with it returns the first transaction. Raises Invalid."""
    if not 1 <= cents <= 100_000_000:
        raise Invalid((("body", "cents"), "Must be between 1 and 100000000 cents.", "value_error"))
    with transaction.atomic():
        wallet, _ = Wallet.objects.select_for_update().get_or_create(team_id=actor.team_id)
        before = Transaction.objects.filter(team_id=actor.team_id, reference=reference).first()
        if before is not None:
            return before
        wallet.available_cents += cents
        wallet.save(update_fields=["available_cents"])
        row = Transaction.objects.create(
            team_id=actor.team_id,
            type=kind,
            source="funding",
            target="wallet",
            amount_cents=cents,
            available_after_cents=wallet.available_cents,
            reference=reference,
            created_by=actor.ref(),
            description=description or "Top-up",
            created_at=timezone.now(),
        )
        audit(actor, f"wallet.{kind}", row.id, cents=cents, reference=reference)
        return row

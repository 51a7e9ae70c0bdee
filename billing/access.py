"""Reading the ledger: balances are sums over its rows."""

from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Team
from billing import sql
from billing.models import Transaction
from database.sql import prepared

TEST_BALANCE = 10_000


def available(team_id: str) -> int:
    """Cents the team may still spend."""
    row = prepared(sql.AVAILABLE, {"team": team_id})
    return row[0] if row else 0


def _sum(rows: QuerySet[Transaction]) -> int:
    return rows.aggregate(total=Sum("amount_cents"))["total"] or 0


def _of(team_id: str, **only: str) -> QuerySet[Transaction]:
    return Transaction.objects.filter(team_id=team_id, **only)


def open_holds(**only: str) -> QuerySet[Transaction]:
    """Holds that were neither captured nor released yet."""
    ended = Transaction.objects.filter(hold_id=OuterRef("id"))
    return Transaction.objects.filter(~Exists(ended), type="hold", **only)


def held(team_id: str, **only: str) -> int:
    return _sum(open_holds(team_id=team_id, **only))


def month_start(now: datetime) -> datetime:
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def spent_and_held(team_id: str, key_id: str | None = None, workflow_id: str | None = None) -> tuple[int, int]:
    """What steps cost this UTC month, and what is held for steps under way; of the team, one key or one workflow."""
    values = {"team": team_id, "key": key_id, "workflow": workflow_id, "since": month_start(timezone.now())}
    with connection.cursor() as cursor:
        cursor.execute(sql.SPENT_AND_HELD, values)
        spent, pending = cursor.fetchone()
    return spent, pending


def account_balances(team_id: str) -> dict[str, int]:
    """What each account holds by its entries: everything that came in less everything that went out."""
    names = ("wallet", "held", "usage", "funding", "adjustment")
    sums = {n: (Sum("amount_cents", filter=Q(target=n)), Sum("amount_cents", filter=Q(source=n))) for n in names}
    row = _of(team_id).aggregate(
        **{f"{n}_{k}": pair[i] for n, pair in sums.items() for i, k in enumerate(("in", "out"))}
    )
    return {n: (row[f"{n}_in"] or 0) - (row[f"{n}_out"] or 0) for n in names}


def balance(actor: Actor) -> dict[str, Any]:
    """Balance, held and available cents with the proof that the ledger adds up (docs/api/billing.md section 3)."""
    if actor.test:
        return {
            "balance_cents": TEST_BALANCE,
            "held_cents": 0,
            "available_cents": TEST_BALANCE,
            "ledger_ok": True,
            "budgets": [],
        }
    with connection.cursor() as cursor:
        cursor.execute(sql.PROOF, {"team": actor.team_id})
        free, pending, in_wallet, in_held, total = cursor.fetchone()
    adds_up = total == 0 and in_wallet == free and in_held == pending
    return {
        "balance_cents": free + pending,
        "held_cents": pending,
        "available_cents": free,
        "ledger_ok": adds_up,
        "budgets": budgets(actor),
    }


def budgets(actor: Actor) -> list[dict[str, Any]]:
    team = Team.objects.get(id=actor.team_id)
    limits: list[tuple[str, str, int, dict[str, str]]] = []
    if team.budget_cents_month:
        limits.append(("team", team.id, team.budget_cents_month, {}))
    keys = team.api_keys.filter(test=False, budget_cents_month__gt=0, revoked_at__isnull=True)
    limits += [("key", key.id, key.budget_cents_month, {"key_id": key.id}) for key in keys]
    workflows = team.workflow_budgets.order_by("workflow_id")
    limits += [("workflow", w.workflow_id, w.limit_cents, {"workflow_id": w.workflow_id}) for w in workflows]
    period = timezone.now().strftime("%Y-%m")
    used = [(scope, ref, limit, *spent_and_held(team.id, **only)) for scope, ref, limit, only in limits]
    return [
        {"scope": scope, "id": ref, "limit_cents": limit, "spent_cents": spent, "held_cents": pending, "period": period}
        for scope, ref, limit, spent, pending in used
    ]


def transactions_of(actor: Actor) -> QuerySet[Transaction]:
    """The team's ledger; empty in the test world, which bills nothing."""
    return _of(actor.team_id) if not actor.test else Transaction.objects.none()


def usage(actor: Actor, period: str) -> dict[str, Any]:
    """What the team used in the UTC month `period` (YYYY-MM)."""
    year, month = int(period[:4]), int(period[5:])
    start = datetime(year, month, 1, tzinfo=UTC)
    end = (
        datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        if (year, month) != (9999, 12)
        else datetime.max.replace(tzinfo=UTC)
    )
    rows = transactions_of(actor).filter(target="usage", created_at__gte=start, created_at__lt=end)
    captures = (
        rows.filter(type="capture").values("endpoint").annotate(requests=Count("id"), credits=Sum("amount_cents"))
    )
    breakdown = {
        row["endpoint"] or "agent_step": {"requests": row["requests"], "credits": row["credits"]}
        for row in captures.order_by(F("endpoint").asc(nulls_first=True))
    }
    requests = sum(part["requests"] for part in breakdown.values())
    total = _sum(rows)
    if machines := _sum(rows.filter(type="machine_time")):
        breakdown["machine_time"] = {"requests": 0, "credits": machines}
    cents = TEST_BALANCE if actor.test else available(actor.team_id) + held(actor.team_id)
    return {
        "period": period,
        "total_requests": requests,
        "total_credits": total,
        "total_cost_cents": total,
        "breakdown": breakdown,
        "balance": cents,
        "wallet_balance_cents": cents,
        "wallet_balance_usd": f"{cents / 100:.2f}",
    }

"""Answers of billing."""

from datetime import datetime
from typing import Annotated

from django.db.models import Q
from ninja import FilterSchema
from pydantic import Field
from typing_extensions import TypedDict

from accounts.actor import ActorRef
from billing.models import Transaction, TransactionType
from web.errors import Invalid, InvalidFilter
from web.filters import Text, several_of, words_of
from web.times import Timestamp, read_time, rfc3339


def _time(text: str, name: str) -> datetime:
    at = read_time(text, dates=True)
    if at is None:
        raise Invalid((("query", name), "Must be an RFC 3339 time or a date.", "value_error"))
    return at


class TransactionFilters(FilterSchema):
    """`from` is included, `to` is not; a date is its midnight in UTC."""

    type: Annotated[Text, several_of(TransactionType.values)] = None
    run_id: Text = None
    since: Annotated[Text, Field(alias="from", description="An RFC 3339 time or a date, included")] = None
    until: Annotated[Text, Field(alias="to", description="An RFC 3339 time or a date, not included")] = None

    def filter_type(self, types: str | None) -> Q:
        """Raises InvalidFilter."""
        unknown = InvalidFilter(parameter="type", valid_options=list(TransactionType.values))
        return Q(type__in=words_of(types, TransactionType.values, unknown)) if types else Q()

    def filter_since(self, since: str | None) -> Q:
        """Raises Invalid."""
        return Q(created_at__gte=_time(since, "from")) if since else Q()

    def filter_until(self, until: str | None) -> Q:
        """Raises Invalid."""
        return Q(created_at__lt=_time(until, "to")) if until else Q()


class BudgetObject(TypedDict):
    """Of one UTC month."""

    scope: str
    id: str
    limit_cents: int
    spent_cents: int
    held_cents: int
    period: str


class BalanceObject(TypedDict):
    object: str
    currency: str
    balance_cents: int
    held_cents: int
    available_cents: int
    ledger_ok: bool
    budgets: list[BudgetObject]
    request_id: str


class EndpointUsageObject(TypedDict):
    requests: int
    credits: int


class UsageObject(TypedDict):
    period: str
    total_requests: int
    total_credits: int
    total_cost_cents: int
    breakdown: dict[str, EndpointUsageObject]
    balance: int
    wallet_balance_cents: int
    wallet_balance_usd: str


class CallUsageObject(TypedDict):
    """What one direct call cost."""

    input_tokens: int
    output_tokens: int
    credits_charged: int
    cost_cents: int
    breakdown: dict[str, int]
    billed: bool


class EntryObject(TypedDict):
    account: str
    debit_cents: int
    credit_cents: int


class TransactionObject(TypedDict):
    id: str
    object: str
    type: str
    run_id: str | None
    step_index: int | None
    machine_id: str | None
    key_id: str | None
    endpoint: str | None
    amount_cents: int
    entries: list[EntryObject]
    available_after_cents: int
    description: str
    created_by: ActorRef
    created_at: Timestamp


def transaction_object(row: Transaction) -> TransactionObject:
    """A ledger transaction with its two entries; debit_cents leave an account, credit_cents enter it."""
    return {
        "id": row.id,
        "object": "ledger.transaction",
        "type": row.type,
        "run_id": row.run_id,
        "step_index": row.step_index,
        "machine_id": row.machine_id,
        "key_id": row.key_id,
        "endpoint": row.endpoint,
        "amount_cents": row.amount_cents,
        "entries": [
            {"account": row.source, "debit_cents": row.amount_cents, "credit_cents": 0},
            {"account": row.target, "debit_cents": 0, "credit_cents": row.amount_cents},
        ],
        "available_after_cents": row.available_after_cents,
        "description": row.description,
        "created_by": row.created_by,
        "created_at": rfc3339(row.created_at),
    }

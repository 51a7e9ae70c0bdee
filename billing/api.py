"""Balance, ledger and usage."""

import re
from datetime import UTC, datetime

from django.db.models import QuerySet
from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door
from accounts.idempotency import answer
from billing import access
from billing.models import Transaction, TransactionType
from billing.schemas import transaction_object
from web.errors import Invalid, InvalidFilter
from web.paging import page
from web.times import read_time

router = Router(tags=["Billing"])


@router.get("/billing/balance", summary="Balance, holds and the proof that the ledger adds up")
@door("usage")
def balance(request: ApiRequest) -> HttpResponse:
    body = {"object": "balance", "currency": "USD"} | access.balance(request.actor)
    return answer(body | {"request_id": request.request_id})


@router.get("/billing/ledger", summary="Transactions of the ledger, newest first")
@door("usage")
def ledger(request: ApiRequest) -> HttpResponse:
    rows = _filtered(access.transactions_of(request.actor), request)
    return answer(page(rows, request.GET, transaction_object, request_id=request.request_id))


def _filtered(rows: QuerySet[Transaction], request: ApiRequest) -> QuerySet[Transaction]:
    query = request.GET
    if query.get("type"):
        words = [word.strip() for word in query["type"].split(",")]
        if not set(words) <= set(TransactionType.values):
            raise InvalidFilter(parameter="type", valid_options=list(TransactionType.values))
        rows = rows.filter(type__in=words)
    if query.get("run_id"):
        rows = rows.filter(run_id=query["run_id"])
    if query.get("from"):
        rows = rows.filter(created_at__gte=_time(query["from"], "from"))
    if query.get("to"):
        rows = rows.filter(created_at__lt=_time(query["to"], "to"))
    return rows


def _time(text: str, name: str) -> datetime:
    time = read_time(text, dates=True)
    if time is None:
        raise Invalid((("query", name), "Must be an RFC 3339 time or a date.", "value_error"))
    return time


@router.get("/usage", summary="What a month cost")
@door("usage")
def usage(request: ApiRequest) -> HttpResponse:
    period = request.GET.get("period") or datetime.now(UTC).strftime("%Y-%m")
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", period) or period.startswith("0000"):
        raise Invalid((("query", "period"), "Must be a month such as 2026-03.", "value_error"))
    return answer(access.usage(request.actor, period))

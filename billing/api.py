"""Balance, ledger and usage."""

import re
from datetime import UTC, datetime
from typing import Annotated

from django.http import HttpResponse
from ninja import Query, Router
from pydantic import Field

from accounts.doors import ApiRequest, door
from accounts.idempotency import answer
from billing import access
from billing.schemas import BalanceObject, TransactionFilters, TransactionObject, UsageObject, transaction_object
from web.errors import ErrorObject, Invalid
from web.paging import Page, page

router = Router(tags=["Billing"])
MONTH = r"(?!0000)[0-9]{4}-(0[1-9]|1[0-2])"
Period = Annotated[
    str, Field(description="A month; the present one by default.", json_schema_extra={"pattern": f"^({MONTH})?$"})
]


@router.get("/billing/balance", summary="Balance, holds and the proof that the ledger adds up", response=BalanceObject)
@door("usage")
def balance(request: ApiRequest) -> HttpResponse:
    body = {"object": "balance", "currency": "USD"} | access.balance(request.actor)
    return answer(body | {"request_id": request.request_id})


@router.get(
    "/billing/ledger",
    summary="Transactions of the ledger, newest first",
    response={200: Page[TransactionObject], 422: ErrorObject},
)
@door("usage")
def ledger(request: ApiRequest, filters: Query[TransactionFilters]) -> HttpResponse:
    rows = filters.filter(access.transactions_of(request.actor))
    return answer(page(rows, request.GET, transaction_object, request_id=request.request_id))


@router.get("/usage", summary="What a month cost", response={200: UsageObject, 422: ErrorObject})
@door("usage")
def usage(request: ApiRequest, period: Period = "") -> HttpResponse:
    period = period or datetime.now(UTC).strftime("%Y-%m")
    if not re.fullmatch(MONTH, period):
        raise Invalid((("query", "period"), "Must be a month such as 2026-03.", "value_error"))
    return answer(access.usage(request.actor, period))

"""Health, and what was answered to an Idempotency-Key."""

from django.http import HttpRequest, HttpResponse
from ninja import Router

from accounts import idempotency
from accounts.doors import ApiRequest, door
from accounts.idempotency import answer
from accounts.schemas import HealthObject, IdempotencyRecordObject

router = Router(tags=["Team and keys"])


@router.get("/health", summary="Is the server up?", response=HealthObject, auth=None)
def health(request: HttpRequest) -> HttpResponse:
    return answer({"status": "ok"})


@router.get(
    "/idempotency/{key}", summary="What a call with this Idempotency-Key answered", response=IdempotencyRecordObject
)
@door()
def idempotency_record(request: ApiRequest, key: str) -> HttpResponse:
    response = answer(idempotency.newest_record(request.actor, key))
    response["Cache-Control"] = "no-store"  # the answer it holds may show a secret
    return response

"""Webhooks of the team: register, change, test, and what became of each message."""

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from accounts.webhooks import services, targets
from accounts.webhooks.access import deliveries_to, endpoints_of, get_delivery, get_endpoint
from accounts.webhooks.schemas import (
    DeliveryObject,
    Nothing,
    WebhookCreate,
    WebhookObject,
    WebhookPatch,
    delivery_object,
    webhook_object,
)
from web.bodies import read
from web.paging import Page, page

router = Router(tags=["Webhooks"])


def _shown(shown: services.Shown, status: int = 200) -> HttpResponse:
    response = answer(webhook_object(shown.row, shown.secret), status)
    if shown.secret is not None:
        response["Cache-Control"] = "no-store"
    return response


@router.post(
    "/webhooks",
    summary="Register a webhook; its secret is shown once",
    response={201: WebhookObject},
    **takes(WebhookCreate),
)
@door("webhooks:write")
def create(request: ApiRequest) -> HttpResponse:
    body = read(request, WebhookCreate)
    with targets.looked_up(body.url):
        return once(request, lambda: _shown(services.create_endpoint(request.actor, body), 201))


@router.get("/webhooks", summary="Webhooks of the team and world", response=Page[WebhookObject])
@door("webhooks:read")
def list_webhooks(request: ApiRequest) -> HttpResponse:
    return answer(page(endpoints_of(request.actor), request.GET, webhook_object, request_id=request.request_id))


@router.get("/webhooks/{webhook_id}", summary="One webhook", response=WebhookObject)
@door("webhooks:read")
def read_webhook(request: ApiRequest, webhook_id: str) -> HttpResponse:
    return answer(webhook_object(get_endpoint(request.actor, webhook_id)))


@router.patch(
    "/webhooks/{webhook_id}", summary="Change it, or rotate its secret", response=WebhookObject, **takes(WebhookPatch)
)
@door("webhooks:write")
def patch(request: ApiRequest, webhook_id: str) -> HttpResponse:
    row = get_endpoint(request.actor, webhook_id)
    changes = read(request, WebhookPatch).model_dump(exclude_unset=True)
    return _shown(services.update_endpoint(request.actor, row.id, changes))


@router.delete("/webhooks/{webhook_id}", summary="Delete it; what is pending is dropped", response={204: None})
@door("webhooks:write")
def delete(request: ApiRequest, webhook_id: str) -> HttpResponse:
    services.delete_endpoint(request.actor, webhook_id)
    return HttpResponse(status=204)


@router.post("/webhooks/{webhook_id}/test", summary="Send webhook.test", response=DeliveryObject, **takes(Nothing))
@door("webhooks:write")
def test(request: ApiRequest, webhook_id: str) -> HttpResponse:
    row = get_endpoint(request.actor, webhook_id)
    read(request, Nothing)
    return once(request, lambda: delivery_object(services.send_test(request.actor, row.id)))


@router.get(
    "/webhooks/{webhook_id}/deliveries", summary="What was sent to it, newest first", response=Page[DeliveryObject]
)
@door("webhooks:read")
def deliveries(request: ApiRequest, webhook_id: str) -> HttpResponse:
    rows = deliveries_to(get_endpoint(request.actor, webhook_id))
    return answer(page(rows, request.GET, delivery_object, request_id=request.request_id))


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
    summary="Send it again",
    response={201: DeliveryObject},
    **takes(Nothing),
)
@door("webhooks:write")
def redeliver(request: ApiRequest, webhook_id: str, delivery_id: str) -> HttpResponse:
    row = get_delivery(get_endpoint(request.actor, webhook_id), delivery_id)
    read(request, Nothing)
    return once(request, lambda: delivery_object(services.redeliver(request.actor, webhook_id, row.id)), status=201)

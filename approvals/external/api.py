"""POST /v1/approvals and what its caller may do afterwards."""

from typing import Any

from django.http import HttpResponse
from pydantic import ValidationError

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from accounts.webhooks import targets
from approvals.access import get_readable
from approvals.api import object_of
from approvals.api import router as approvals_router
from approvals.external import pictures, services
from approvals.external.multipart import fields_of
from approvals.external.schemas import AskBody, AskedObject, CancelBody, ResultBody, misfits
from approvals.schemas import ApprovalObject
from web.bodies import read, refused
from web.errors import ErrorObject, NotFound

router = approvals_router  # one address, one router: GET /v1/approvals is there


@router.post(
    "/approvals",
    summary="Ask people, without a run",
    response={200: AskedObject, 201: AskedObject, 429: ErrorObject},
    **takes(AskBody),
)
@door("approvals:request")
def ask(request: ApiRequest) -> HttpResponse:
    fields = fields_of(request)
    body = _valid(fields)
    stored = services.store_pictures(body)
    with targets.looked_up(body.webhook_url):
        return once(request, lambda: _asked(services.ask(request.actor, body, stored)), content=fields)


def _valid(fields: dict[str, Any]) -> AskBody:
    """Raises Invalid with all that is wrong with the form."""
    try:
        return AskBody.model_validate(fields)
    except ValidationError as error:
        raise refused(error, misfits(fields)) from error


def _asked(asked: services.Asked) -> HttpResponse:
    """201 for what is asked now; the one answer that shows the secret of its webhooks."""
    shown: AskedObject = {**object_of(asked.approval), "webhook_secret": asked.webhook_secret}
    response = answer(shown, 201 if asked.fresh else 200)
    if asked.webhook_secret:
        response["Cache-Control"] = "no-store"
    return response


@router.post(
    "/approvals/{approval_id}/cancel", summary="Take a request back", response=ApprovalObject, **takes(CancelBody)
)
@door("approvals:request")
def cancel(request: ApiRequest, approval_id: str) -> HttpResponse:
    get_readable(request.actor, approval_id)
    body = read(request, CancelBody)
    return once(request, lambda: object_of(services.cancel(request.actor, approval_id, body.reason)))


@router.put(
    "/approvals/{approval_id}/result",
    summary="Report what was done with a decision",
    response=ApprovalObject,
    **takes(ResultBody),
)
@door("approvals:request")
def complete(request: ApiRequest, approval_id: str) -> HttpResponse:
    get_readable(request.actor, approval_id)
    body = read(request, ResultBody)
    return answer(object_of(services.complete(request.actor, approval_id, body.outcome, body.text)))


@router.get(
    "/approvals/{approval_id}/pictures/{index}",
    summary="One picture that a program sent along, as PNG or JPEG",
    openapi_extra={"responses": {200: {"content": {"image/png": {}, "image/jpeg": {}}}}},
)
@door("approvals:read", "approvals:request")
def read_picture(request: ApiRequest, approval_id: str, index: str) -> HttpResponse:
    approval = get_readable(request.actor, approval_id)
    number = int(index) if index.isdecimal() and len(index) < 10 else -1
    picture = pictures.read(approval.evidence, number)
    if picture is None:
        raise NotFound
    content, content_type = picture
    return HttpResponse(content, content_type=content_type, headers={"Cache-Control": "no-store"})

"""Policies by API: /v1/permissions."""

from django.http import HttpResponse
from ninja import Query, Router

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from approvals.policies import services
from approvals.policies.access import get_policy, policies_of
from approvals.policies.replay import Replay, replay
from approvals.policies.schemas import (
    PolicyCreate,
    PolicyFilters,
    PolicyObject,
    PolicyPatch,
    PreviewObject,
    policy_object,
    preview_object,
)
from web.bodies import read, read_json
from web.paging import Page, page

router = Router(tags=["Policies"])


@router.post(
    "/permissions",
    summary="Store a policy; an equal active one is returned",
    response={200: PolicyObject, 201: PolicyObject},
    **takes(PolicyCreate),
)
@door("approvals:decide")
def create_policy(request: ApiRequest) -> HttpResponse:
    body = read(request, PolicyCreate)
    fields = services.checked(request.actor, body.model_dump(exclude_none=True, by_alias=True))

    def effect() -> HttpResponse:
        row, new = services.create(request.actor, **fields)
        return answer(policy_object(row), status=201 if new else 200)

    return once(request, effect)


@router.post(
    "/permissions/preview",
    summary="What a policy would have done with the actions of the last 30 days; nothing is stored",
    response=PreviewObject,
    **takes(PolicyCreate),
)
@door("approvals:read")
def preview_policy(request: ApiRequest) -> HttpResponse:
    body = read(request, PolicyCreate)
    fields = services.checked(request.actor, body.model_dump(exclude_none=True, by_alias=True))
    return once(request, lambda: _preview(replay(request.actor, fields)))


def _preview(result: Replay) -> PreviewObject:
    return preview_object(result.matched, result.would, result.people, result.examples)


@router.get("/permissions", summary="Policies, newest first", response=Page[PolicyObject])
@door("approvals:read")
def list_policies(request: ApiRequest, filters: Query[PolicyFilters]) -> HttpResponse:
    rows = filters.filter(policies_of(request.actor).filter(revoked_at__isnull=True))
    return answer(page(rows, request.GET, policy_object, request_id=request.request_id))


@router.get("/permissions/{policy_id}", summary="One policy", response=PolicyObject)
@door("approvals:read")
def read_policy(request: ApiRequest, policy_id: str) -> HttpResponse:
    return answer(policy_object(get_policy(request.actor, policy_id)))


@router.patch("/permissions/{policy_id}", summary="Change a policy", response=PolicyObject, **takes(PolicyPatch))
@door("approvals:decide")
def patch_policy(request: ApiRequest, policy_id: str) -> HttpResponse:
    row = get_policy(request.actor, policy_id)
    changes = services.checked(request.actor, read(request, PolicyPatch).model_dump(exclude_unset=True))
    raw = read_json(request)
    changes |= {name: None for name in ("expires_at", "note") if name in raw and raw[name] is None}
    return answer(policy_object(services.update(request.actor, row.id, changes)))


@router.delete("/permissions/{policy_id}", summary="Revoke a policy", response={204: None})
@door("approvals:decide")
def delete_policy(request: ApiRequest, policy_id: str) -> HttpResponse:
    services.revoke(request.actor, policy_id)
    return HttpResponse(status=204)

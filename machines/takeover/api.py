"""Taking control of a machine by API (docs/api/machines-and-inference.md section 3)."""

from django.db import transaction
from django.http import HttpResponse
from ninja import Router

from accounts.actor import TAKE_CONTROL
from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from machines.access import get_machine
from machines.models import TakeoverLease
from machines.schemas import LeaseBody, ReleaseBody, TakeBody, TakeoverEndObject, TakeoverObject, lease_object
from machines.takeover.control_leases import heartbeat
from machines.takeover.services import release, take
from web.bodies import read
from web.errors import NotFound

router = Router(tags=["Machines"])


def _shown(request: ApiRequest, lease: TakeoverLease) -> TakeoverObject:
    return {**lease_object(lease), "request_id": request.request_id}


@router.get("/machines/{machine_id}/takeover", summary="Who controls the machine", response=TakeoverObject)
@door("actions:exec", TAKE_CONTROL)
def read_takeover(request: ApiRequest, machine_id: str) -> HttpResponse:
    lease = get_machine(request.actor, machine_id).lease
    if lease is None:
        raise NotFound("Nobody controls this machine.")
    return answer(_shown(request, lease))


@router.post("/machines/{machine_id}/takeover", summary="Take control", response=TakeoverObject, **takes(TakeBody))
@door("actions:exec", TAKE_CONTROL)
def take_over(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    body = read(request, TakeBody)
    return once(request, lambda: _shown(request, take(request.actor, row.id, private=body.private, note=body.note)))


@router.post(
    "/machines/{machine_id}/takeover/heartbeat", summary="Keep control", response=TakeoverObject, **takes(LeaseBody)
)
@door("actions:exec", TAKE_CONTROL)
def keep(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    body = read(request, LeaseBody)

    def effect() -> TakeoverObject:
        with transaction.atomic():
            return _shown(request, heartbeat(request.actor, row.id, body.lease_id))

    return once(request, effect)


@router.post(
    "/machines/{machine_id}/takeover/release",
    summary="Give control back",
    response=TakeoverEndObject,
    **takes(ReleaseBody),
)
@door("actions:exec", TAKE_CONTROL)
def give_back(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    body = read(request, ReleaseBody)

    def effect() -> TakeoverEndObject:
        done = release(request.actor, row.id, body.lease_id, note=body.note, resume=body.resume)
        return {"released": True, "run_id": done.run_id, "status": done.status, "request_id": request.request_id}

    return once(request, effect)

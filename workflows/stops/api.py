"""Stopping everything, and lifting that (docs/api/approvals.md section 14)."""

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, key_of, once
from machines.models import Stop
from runs.stops import services
from runs.stops.access import get_stop, stops_of
from runs.stops.enforcing import enforce, let_go_on
from runs.stops.schemas import Nothing, StopBody, StopObject, stop_object
from web.bodies import read
from web.errors import ErrorObject
from web.paging import Page, page
from workflows.stops.scopes import find_target

router = Router(tags=["Stops"])


def _shown(request: ApiRequest, stop: Stop) -> StopObject:
    return {**stop_object(stop), "request_id": request.request_id}


@router.post(
    "/stop",
    summary="Stop all runs of the team, a machine or a workflow",
    response={200: StopObject, 404: ErrorObject},
    **takes(StopBody),
)
@door("runs:write")
def stop(request: ApiRequest) -> HttpResponse:
    """What stands in the answer under an Idempotency-Key is as of the commit; without one, also what was confirmed at once."""
    body = read(request, StopBody)
    target_id = find_target(request.actor, body.scope, body.id)
    stops: list[Stop] = []

    def effect() -> StopObject:
        stops.append(services.request_stop(request.actor, body.scope, target_id, body.reason))
        return _shown(request, stops[0])

    response = once(request, effect)
    if not stops:
        return response
    confirmed = enforce(stops[0])
    return response if key_of(request) else answer(_shown(request, confirmed))


@router.get("/stop", summary="Stops of the team and world, newest first", response=Page[StopObject])
@door("runs:read")
def list_stops(request: ApiRequest) -> HttpResponse:
    rows, order = stops_of(request.actor), ("-requested_at", "-id")
    return answer(page(rows, request.GET, stop_object, request_id=request.request_id, order=order))


@router.get("/stop/{stop_id}", summary="One stop", response=StopObject)
@door("runs:read")
def read_stop(request: ApiRequest, stop_id: str) -> HttpResponse:
    return answer(_shown(request, get_stop(request.actor, stop_id)))


@router.post(
    "/stop/{stop_id}/lift",
    summary="Let what was stopped go on, with its time back",
    response=StopObject,
    **takes(Nothing),
)
@door("runs:write")
def lift(request: ApiRequest, stop_id: str) -> HttpResponse:
    """By an admin, or a key that may loosen rules."""
    stop = get_stop(request.actor, stop_id)
    read(request, Nothing)
    lifted: list[Stop] = []

    def effect() -> StopObject:
        lifted.append(services.lift(request.actor, stop.id))
        return _shown(request, lifted[0])

    response = once(request, effect)
    for each in lifted:
        let_go_on(request.actor, each)
    return response

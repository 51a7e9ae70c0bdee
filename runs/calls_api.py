"""What models were asked for a run."""

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door
from accounts.idempotency import answer
from inference.models import Call
from inference.schemas import ModelCallObject, call_object
from runs.access import get_run
from web.paging import Page, page

router = Router(tags=["Runs"])


@router.get(
    "/runs/{run_id}/calls", summary="Calls of models made for a run, oldest first", response=Page[ModelCallObject]
)
@door("runs:read")
def list_calls(request: ApiRequest, run_id: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    rows = Call.objects.filter(run_id=run.id, team_id=run.team_id, test=run.test)
    return answer(page(rows, request.GET, call_object, request_id=request.request_id, order=("started_at", "id")))

"""What models were asked for a run."""

from typing import Any

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door
from accounts.idempotency import answer
from inference.models import Call
from runs.access import get_run
from web.paging import page
from web.times import rfc3339

router = Router(tags=["Runs"])


def call_object(row: Call) -> dict[str, Any]:
    """Tokens are null where the vendor does not say, and the cost where it cannot be known."""
    return {
        "id": row.id, "object": "model_call", "run_id": row.run_id, "step_index": row.step_index, "profile": row.profile,
        "wire": row.wire, "model": row.model, "purpose": row.purpose, "status": row.status, "why": row.why,
        "request_id": row.request_id, "input_tokens": row.input_tokens, "cached_tokens": row.cached_tokens,
        "cache_written_tokens": row.cache_written_tokens, "output_tokens": row.output_tokens,
        "reasoning_tokens": row.reasoning_tokens, "cost_microcents": row.cost_microcents,
        "started_at": rfc3339(row.started_at), "first_byte_at": rfc3339(row.first_byte_at),
        "ended_at": rfc3339(row.ended_at),
    }  # fmt: skip


@router.get("/runs/{run_id}/calls", summary="Calls of models made for a run, oldest first")
@door("runs:read")
def list_calls(request: ApiRequest, run_id: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    rows = Call.objects.filter(run_id=run.id, team_id=run.team_id, test=run.test)
    return answer(page(rows, request.GET, call_object, request_id=request.request_id, order=("started_at", "id")))

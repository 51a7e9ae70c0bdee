"""What the playbook agent reads in a task, without a run."""

from typing import Any

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import once
from runs.agents.playbook import parse
from runs.schemas import ParseBody, PlanObject
from web.bodies import read

router = Router(tags=["Agents"])


@router.post(
    "/agents/playbook/parse", summary="How the playbook agent reads a task", response=PlanObject, **takes(ParseBody)
)
@door("runs:read")
def parse_playbook(request: ApiRequest) -> HttpResponse:
    body = read(request, ParseBody)

    def effect() -> dict[str, Any]:
        plan = parse(body.task)
        return {"steps": plan.steps, "unknown": plan.unknown}

    return once(request, effect)

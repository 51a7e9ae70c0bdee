"""POST /v1/ground (docs/api/machines-and-inference.md section 4)."""

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door, takes
from inference.billed_calls import answer_billed
from inference.ground.ground_call import GroundCall
from inference.schemas import ASKS_A_MODEL, GroundBody, GroundingObject
from inference.screenshots import read_screenshots
from web.bodies import read

router = Router(tags=["Inference"])


@router.post(
    "/ground",
    summary="Where an element stands on a picture of a screen",
    response={200: GroundingObject, **ASKS_A_MODEL},
    **takes(GroundBody),
)
@door("ground")
def ground(request: ApiRequest) -> HttpResponse:
    body = read(request, GroundBody)
    (shot,) = read_screenshots([(("body", "screenshot"), body.screenshot)])
    return answer_billed(request, GroundCall(request.actor, body, shot))

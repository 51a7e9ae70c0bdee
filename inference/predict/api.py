"""POST /v1/predict (docs/api/machines-and-inference.md section 4)."""

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door, takes
from inference.billed_calls import answer_billed
from inference.predict.predict_call import PredictCall
from inference.schemas import ASKS_A_MODEL, PredictBody, PredictionObject
from inference.screenshots import read_screenshots
from web.bodies import read

router = Router(tags=["Inference"])


@router.post(
    "/predict",
    summary="The next actions for a task, from a picture of a screen",
    response={200: PredictionObject, **ASKS_A_MODEL},
    **takes(PredictBody),
)
@door("predict")
def predict_actions(request: ApiRequest) -> HttpResponse:
    body = read(request, PredictBody)
    return answer_billed(request, PredictCall(request.actor, body, read_screenshots(body.screenshots())))

"""GET /v1/models (docs/api/machines-and-inference.md section 4)."""

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door
from accounts.idempotency import answer
from inference.profiles.model_list import models_object
from inference.schemas import ModelsObject

router = Router(tags=["Inference"])


@router.get("/models", summary="Models, engines, action types and agents that work here", response=ModelsObject)
@door()
def models(request: ApiRequest) -> HttpResponse:
    return answer(models_object(test=request.actor.test) | {"request_id": request.request_id})

"""POST /v1/parse (docs/api/machines-and-inference.md section 4)."""

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import once
from inference.dialects import pyautogui
from inference.schemas import ParseBody, ParsedActionsObject
from web.bodies import read

router = Router(tags=["Inference"])


@router.post("/parse", summary="Actions from code that a model wrote", response=ParsedActionsObject, **takes(ParseBody))
@door("parse")
def parse(request: ApiRequest) -> HttpResponse:
    body = read(request, ParseBody)
    return once(request, lambda: {"actions": pyautogui.parse(body.code), "request_id": request.request_id})

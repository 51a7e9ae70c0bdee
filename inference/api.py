"""Inference: predict, sessions, ground, parse, models (contract/machines-and-inference.md section 4)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.http import HttpResponse
from ninja import Router

from accounts.actor import Actor
from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from billing.direct import Price, price
from inference.billed_calls import Reply, answer_directly, charged, model_for
from inference.dialects import pyautogui
from inference.ground.services import Grounding
from inference.predict import fixed_answers
from inference.predict.predictions import Prediction, predict, question_of
from inference.profiles.model_list import models_object
from inference.records import CallRecord
from inference.schemas import (
    GroundBody,
    Nothing,
    ParseBody,
    PredictBody,
    SessionCreate,
    SessionPredictBody,
    session_object,
)
from inference.screenshots import Screenshot, read_screenshots
from inference.sessions import services
from inference.specs import Spec
from web.bodies import read
from web.paging import page
from web.times import rfc3339

router = Router(tags=["Inference"])


@dataclass
class Predicting:
    """POST /v1/predict (inference.billed_calls.DirectCall)."""

    actor: Actor
    body: PredictBody
    shots: list[Screenshot]
    spec: Spec | None = None

    def begin(self) -> Price:
        if not self.actor.test:
            self.spec = model_for(self.actor)
        body = self.body
        return price(
            "predict", images=[shot.size for shot in self.shots], trajectory=len(body.trajectory), engine=body.cua_version,
            system_prompt=body.system_prompt,
        )  # fmt: skip

    async def ask(self, calls: list[CallRecord]) -> Reply:
        prediction = await self._prediction(calls)
        reasoning = prediction.reasoning if self.body.include_reasoning else None
        body = {"status": prediction.status, "reasoning": reasoning, "actions": prediction.actions}
        return Reply(body, prediction.input_tokens, prediction.output_tokens)

    async def _prediction(self, calls: list[CallRecord]) -> Prediction:
        body = self.body
        if self.spec is None:
            picture, steps = self.shots[-1].sha256, len(body.trajectory)
            return fixed_answers.prediction(picture, body.instruction, body.screen, steps=steps, tools=body.tools)
        question = await asyncio.to_thread(question_of, self.spec, body, self.shots)
        return (await predict(question, body.screen, body.max_actions, calls)).prediction

    def keep(self, reply: Reply, price: Price) -> None:
        """Nothing is kept: each call brings all that it is about."""

    def undo(self) -> None:
        """Nothing was kept."""


@router.post("/predict", summary="The next actions for a task, from a picture of a screen", **takes(PredictBody))
@door("predict")
def predict_actions(request: ApiRequest) -> HttpResponse:
    body = read(request, PredictBody)
    return answer_directly(request, Predicting(request.actor, body, read_screenshots(body.screenshots())))


@router.post("/ground", summary="Where an element stands on a picture of a screen", **takes(GroundBody))
@door("ground")
def ground(request: ApiRequest) -> HttpResponse:
    body = read(request, GroundBody)
    (shot,) = read_screenshots([(("body", "screenshot"), body.screenshot)])
    return answer_directly(request, Grounding(request.actor, body, shot))


@router.post("/parse", summary="Actions from code that a model wrote", **takes(ParseBody))
@door("parse")
def parse(request: ApiRequest) -> HttpResponse:
    body = read(request, ParseBody)
    return once(request, lambda: {"actions": pyautogui.parse(body.code), "request_id": request.request_id})


@router.get("/models", summary="Models, engines, action types and agents that work here")
@door()
def models(request: ApiRequest) -> HttpResponse:
    return answer(models_object(test=request.actor.test) | {"request_id": request.request_id})


@router.post("/sessions", summary="Begin a session", **takes(SessionCreate))
@door("session")
def create_session(request: ApiRequest) -> HttpResponse:
    body = read(request, SessionCreate)

    def effect() -> HttpResponse:
        session, cost = services.create(request.actor, body)
        facts = {
            "session_id": session.id, "screen_size": f"{session.screen_width}x{session.screen_height}",
            "created_at": rfc3339(session.created_at), "expires_at": rfc3339(session.expires_at),
        }  # fmt: skip
        return charged(request, request.actor, cost, Reply(facts))

    return once(request, lambda: _at_once(effect))


def _at_once(effect: Callable[[], HttpResponse]) -> HttpResponse:
    """once() has a transaction only where there is a key."""
    with transaction.atomic():
        return effect()


@router.get("/sessions", summary="Sessions, newest first")
@door("session")
def list_sessions(request: ApiRequest) -> HttpResponse:
    rows = services.sessions_of(request.actor)
    return answer(page(rows, request.GET, session_object, request_id=request.request_id))


@router.get("/sessions/{session_id}", summary="One session")
@door("session")
def session(request: ApiRequest, session_id: str) -> HttpResponse:
    row = services.get_session(request.actor, session_id)
    return answer(session_object(row) | {"request_id": request.request_id})


@router.post("/sessions/{session_id}/predict", summary="The next actions in a session", **takes(SessionPredictBody))
@door("session")
def predict_in_session(request: ApiRequest, session_id: str) -> HttpResponse:
    row = services.get_session(request.actor, session_id)
    body = read(request, SessionPredictBody)
    (shot,) = read_screenshots([(("body", "screenshot"), body.screenshot)])
    return answer_directly(request, services.SessionPrediction(request.actor, row.id, body, shot))


@router.post("/sessions/{session_id}/reset", summary="Forget what a session has seen and done", **takes(Nothing))
@door("session")
def reset_session(request: ApiRequest, session_id: str) -> HttpResponse:
    row = services.get_session(request.actor, session_id)
    read(request, Nothing)

    def effect() -> dict[str, Any]:
        services.reset(request.actor, row.id)
        return {"status": "ok", "session_id": row.id, "request_id": request.request_id}

    return once(request, effect)


@router.delete("/sessions/{session_id}", summary="End a session and forget its pictures")
@door("session")
def delete_session(request: ApiRequest, session_id: str) -> HttpResponse:
    services.delete(request.actor, session_id)
    return answer({"status": "ok", "session_id": session_id, "request_id": request.request_id})

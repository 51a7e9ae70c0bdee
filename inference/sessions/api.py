"""/v1/sessions (docs/api/machines-and-inference.md section 4)."""

from typing import Any

from django.db import transaction
from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from inference.billed_calls import Reply, answer_billed, charged
from inference.schemas import (
    ASKS_A_MODEL,
    NewSessionObject,
    Nothing,
    SessionCreate,
    SessionEndObject,
    SessionObject,
    SessionPage,
    SessionPredictBody,
    SessionPredictionObject,
    session_object,
)
from inference.screenshots import read_screenshots
from inference.sessions import services
from inference.sessions.access import get_session, sessions_of
from inference.sessions.session_call import SessionPredictCall
from web import aliases
from web.bodies import read
from web.errors import ErrorObject
from web.paging import page
from web.times import rfc3339

router = Router(tags=["Inference"])


@router.post(
    "/sessions", summary="Begin a session", response={200: NewSessionObject, 402: ErrorObject}, **takes(SessionCreate)
)
@door("session")
def create_session(request: ApiRequest) -> HttpResponse:
    body = read(request, SessionCreate)

    @transaction.atomic  # once() has a transaction only where there is a key
    def effect() -> HttpResponse:
        session, cost = services.create(request.actor, body)
        facts = {
            "session_id": session.id,
            "screen_size": f"{session.screen_width}x{session.screen_height}",
            "created_at": rfc3339(session.created_at),
            "expires_at": rfc3339(session.expires_at),
        }
        return charged(request, request.actor, cost, Reply(facts))

    return once(request, effect)


@router.get("/sessions", summary="Sessions, newest first", response=SessionPage)
@door("session")
def list_sessions(request: ApiRequest) -> HttpResponse:
    rows = sessions_of(request.actor)
    sessions = page(rows, request.GET, session_object, request_id=request.request_id)
    return answer({**sessions, **aliases.rows_again("sessions", sessions["data"])})


@router.get("/sessions/{session_id}", summary="One session", response=SessionObject)
@door("session")
def session(request: ApiRequest, session_id: str) -> HttpResponse:
    row = get_session(request.actor, session_id)
    return answer(session_object(row) | {"request_id": request.request_id})


@router.post(
    "/sessions/{session_id}/predict",
    summary="The next actions in a session",
    response={200: SessionPredictionObject, **ASKS_A_MODEL},
    **takes(SessionPredictBody),
)
@door("session")
def predict_in_session(request: ApiRequest, session_id: str) -> HttpResponse:
    row = get_session(request.actor, session_id)
    body = read(request, SessionPredictBody)
    (shot,) = read_screenshots([(("body", "screenshot"), body.screenshot)])
    return answer_billed(request, SessionPredictCall(request.actor, row.id, body, shot))


@router.post(
    "/sessions/{session_id}/reset",
    summary="Forget what a session has seen and done",
    response=SessionEndObject,
    **takes(Nothing),
)
@door("session")
def reset_session(request: ApiRequest, session_id: str) -> HttpResponse:
    row = get_session(request.actor, session_id)
    read(request, Nothing)

    def effect() -> dict[str, Any]:
        services.reset(request.actor, row.id)
        return {"status": "ok", "session_id": row.id, "request_id": request.request_id}

    return once(request, effect)


@router.delete("/sessions/{session_id}", summary="End a session and forget its pictures", response=SessionEndObject)
@door("session")
def delete_session(request: ApiRequest, session_id: str) -> HttpResponse:
    services.delete(request.actor, session_id)
    return answer({"status": "ok", "session_id": session_id, "request_id": request.request_id})

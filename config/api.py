"""The API: every router, and the one handler that turns whatever goes wrong into the error envelope."""

import logging

from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from ninja import Router
from ninja.errors import HttpError, ValidationError

from accounts.api import router as accounts_router
from accounts.keys.api import router as keys_router
from accounts.middleware import refusal_response
from accounts.secrets.api import router as secrets_router
from accounts.team.api import router as team_router
from accounts.webhooks.api import router as webhooks_router
from approvals.external.api import router as approvals_router
from approvals.policies.api import router as policies_router
from approvals.waiting.events import router as approval_events_router
from billing.api import router as billing_router
from config.openapi.document import Api
from database.outages import unavailable
from inference.ground.api import router as ground_router
from inference.parse_api import router as parse_router
from inference.predict.api import router as predict_router
from inference.profiles.api import router as models_router
from inference.sessions.api import router as sessions_router
from machines.api import router as machines_router
from machines.live.api import router as live_router
from machines.takeover.api import router as takeover_router
from runs.agents.api import router as agents_router
from runs.api import router as runs_router
from runs.live.streams import router as streams_router
from runs.verbs_api import router as verbs_router
from web.errors import BadRequest, InternalError, Invalid, NotFound, Refusal
from web.version import VERSION
from workflows.api import router as workflows_router
from workflows.runs.api import router as workflow_runs_router
from workflows.stops.api import router as stops_router

log = logging.getLogger(__name__)
METHODS = ["GET", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"]

api = Api(
    title="Countersign",
    version=VERSION,
    description="Runs of computer-use agents, the requests they put to people, machines and the ledger.",
    docs_url=None,  # config/openapi/docs_page.py
    openapi_url="/openapi.json",
    urls_namespace="v1",
    servers=[{"url": "/"}],
)
for router in (
    accounts_router,
    team_router,
    keys_router,
    webhooks_router,
    secrets_router,
    machines_router,
    runs_router,
    streams_router,
    takeover_router,
    live_router,
    verbs_router,
    approvals_router,
    approval_events_router,
    policies_router,
    agents_router,
    billing_router,
    predict_router,
    ground_router,
    parse_router,
    models_router,
    sessions_router,
    workflows_router,
    workflow_runs_router,
    stops_router,
):
    api.add_router("", router)

catch_all = Router()


@catch_all.api_operation(METHODS, "/{path:rest}", include_in_schema=False)
def unknown_route(request: HttpRequest, rest: str) -> HttpResponseBase:
    raise NotFound


api.add_router("", catch_all)


@api.exception_handler(Refusal)
def refused(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    return refusal_response(refusal, request)


@api.exception_handler(ValidationError)
def not_valid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    details = [(tuple(e["loc"]), str(e["msg"]), "value_error") for e in error.errors]
    return refusal_response(Invalid(*details), request)


@api.exception_handler(Http404)
def not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return refusal_response(NotFound(), request)


@api.exception_handler(HttpError)
def http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    return refusal_response(NotFound(str(error)) if error.status_code == 404 else InternalError(), request)


@api.exception_handler(SuspiciousOperation)
def suspicious(request: HttpRequest, error: SuspiciousOperation) -> HttpResponse:
    """What Django refuses to read, such as a thousand query parameters."""
    return refusal_response(BadRequest(), request)


@api.exception_handler(Exception)
def crashed(request: HttpRequest, error: Exception) -> HttpResponse:
    """A fault of ours, unless the installation has a bad moment: the caller then knows when to come again."""
    if refusal := unavailable(error):
        log.warning("%s %s was refused: %s", request.method, request.path_info, error)
        return refusal_response(refusal, request)
    log.error("%s %s failed", request.method, request.path_info, exc_info=error)
    return refusal_response(InternalError(), request)

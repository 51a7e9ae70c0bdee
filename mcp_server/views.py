"""/mcp: the Model Context Protocol over HTTP, one call in and one answer out. Who calls, rates and sizes: accounts/middleware.py."""

import logging

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from accounts.idempotency import answer
from accounts.middleware import ApiRequest, refusal_response
from approvals.waiting.long_poll import answer_in_time
from database.outages import unavailable
from mcp_server.errors import ForeignOrigin, RpcError
from mcp_server.messages import Envelope, Message, envelope_of, message_in
from mcp_server.methods import Later, Result, result_of
from mcp_server.tools.tool import Call
from web.errors import InternalError, MethodNotAllowed, NotFound, Refusal
from web.json_rpc import MCP_PATH, error_body
from web.origins import is_own

log = logging.getLogger(__name__)


@csrf_exempt  # keys only: accounts/middleware.py lets no session in
def mcp(request: ApiRequest) -> HttpResponse:
    if request.method != "POST":
        response = refusal_response(MethodNotAllowed(), request)
        response["Allow"] = "POST"
        return response
    try:
        _require_own_origin(request)
        message = message_in(request)
    except Refusal as refusal:
        return refusal_response(refusal, request)
    except RpcError as error:
        return _refused(error, None, None)
    request.call_id = message.id
    return _answered(request, message)


@csrf_exempt
def nothing_here(request: ApiRequest, rest: str) -> HttpResponse:
    return refusal_response(NotFound(), request)


def _require_own_origin(request: HttpRequest) -> None:
    """The specification wants it, against pages that reach for servers of the same computer. Programs send no origin."""
    origin = request.headers.get("Origin")
    if origin is not None and not is_own(origin, request.scheme or "http", request.get_host()):
        raise ForeignOrigin


def _answered(request: ApiRequest, message: Message) -> HttpResponse:
    envelope: Envelope | None = None
    try:
        envelope = envelope_of(message, request.headers)
        if message.id is None:  # a notification asks for nothing; a closed call is no closed request
            return HttpResponse(status=202)
        result = result_of(Call(request, envelope, request.actor), message)
        if isinstance(result, Later):
            read = result.read
            return answer_in_time(
                request,
                result.approval_id,
                result.seconds,
                lambda actor: _ok(message, read(actor)),
                until_final=True,
            )
    except RpcError as error:
        return _refused(error, message.id, envelope)
    except Refusal as refusal:
        return refusal_response(refusal, request)
    except Exception as error:  # noqa: BLE001  as config/api.py does
        return _failed(request, error)
    return _ok(message, result)


def _ok(message: Message, result: Result) -> HttpResponse:
    return answer({"jsonrpc": "2.0", "id": message.id, "result": result})


def _refused(error: RpcError, call_id: str | int | None, envelope: Envelope | None) -> HttpResponse:
    by_status = error.always or envelope is None or envelope.is_modern
    return answer(error_body(call_id, error.code, error.message, error.data), error.status if by_status else 200)


def _failed(request: ApiRequest, error: Exception) -> HttpResponse:
    if refusal := unavailable(error):
        log.warning("%s was refused: %s", MCP_PATH, error)
        return refusal_response(refusal, request)
    log.error("%s failed", MCP_PATH, exc_info=error)
    return refusal_response(InternalError(), request)

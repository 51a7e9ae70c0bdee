"""What every answer carries: a request id; and for /v1 and /mcp: who calls, the key's world and the rate."""

from collections.abc import Callable

from csp.middleware import CSPMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from ninja.utils import check_csrf

from accounts import limits
from accounts.access import actor_of_key, actor_of_session
from accounts.actor import Actor
from accounts.errors import CsrfFailed, InvalidApiKey
from database.ids import new_id
from web import aliases
from web.bodies import body_limit
from web.errors import BadRequest, InternalError, MethodNotAllowed, NotFound, PayloadTooLarge, Refusal
from web.json_rpc import is_mcp, refusal_body

Next = Callable[[HttpRequest], HttpResponseBase]
OPEN_PATHS = frozenset({"/v1/health", "/v1/docs", "/v1/openapi.json"})
REFUSALS: dict[int, type[Refusal]] = {404: NotFound, 405: MethodNotAllowed, 500: InternalError}


class ApiRequest(HttpRequest):
    """A request to /v1 after ApiMiddleware; pages carry the same after `signed_in`."""

    actor: Actor
    request_id: str
    call_id: str | int | None  # of a call at /mcp, as soon as it is known


class RequestIdMiddleware:
    """The outermost one: names the request, and sees to it that no program is answered with HTML."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.request_id = new_id("req")  # type: ignore[attr-defined]
        _without_nul(request)
        response = self.get_response(request)
        if is_api(request):
            response = _enveloped(response, request)
        elif response.status_code == 405:
            response = _no_page(response, request)
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        if is_api(request):
            aliases.add_headers(response)
        return response


def is_api(request: HttpRequest) -> bool:
    """Whether programs call this address."""
    path = request.path_info
    return path == "/v1" or path.startswith("/v1/") or is_mcp(path)


def is_head(request: HttpRequest) -> bool:
    """Whether only the head of the answer is asked for: HeadMiddleware lets it pass for GET."""
    return bool(request.META["REQUEST_METHOD"] == "HEAD")


def _without_nul(request: HttpRequest) -> None:
    """PostgreSQL cannot even compare with NUL: an id or a filter that holds one becomes one that nothing has."""
    request.path_info = request.path_info.replace("\0", "\ufffd")
    request.path = request.path.replace("\0", "\ufffd")
    request.META["QUERY_STRING"] = request.META.get("QUERY_STRING", "").replace("%00", "%EF%BF%BD")


def refusal_response(refusal: Refusal, request: HttpRequest) -> HttpResponse:
    call_id = getattr(request, "call_id", None)
    return refusal_to(request.path_info, request.request_id, refusal, call_id)  # type: ignore[attr-defined]


def refusal_to(path: str, request_id: str, refusal: Refusal, call_id: str | int | None = None) -> HttpResponse:
    """As refusal_response(), where the request itself is no longer kept."""
    response = JsonResponse(refusal_body(path, refusal, request_id, call_id), status=refusal.status)
    response.refusal = refusal  # type: ignore[attr-defined]  # for config/server/asgi_handler.py, which may try again
    for name, value in refusal.headers.items():
        response[name] = value
    return response


def _enveloped(response: HttpResponseBase, request: HttpRequest) -> HttpResponseBase:
    """The answer itself, or the error envelope in place of a page that Django or ninja refused with."""
    if response.status_code < 400 or response.headers.get("Content-Type", "").startswith("application/json"):
        return response
    envelope = refusal_response(REFUSALS.get(response.status_code, BadRequest)(), request)
    if "Allow" in response:
        envelope["Allow"] = response["Allow"]
    return envelope


class HeadMiddleware:
    """HEAD is GET without the body (RFC 9110 section 9.3.2), which the server leaves out. No stream begins for it."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method != "HEAD":
            return self.get_response(request)
        request.method = "GET"
        response = self.get_response(request)
        request.method = "HEAD"
        if isinstance(response, StreamingHttpResponse):
            response.streaming_content = []
        return response


def _no_page(response: HttpResponseBase, request: HttpRequest) -> HttpResponseBase:
    """Words for who opens the address of a form, for example by going back to one that was refused."""
    page = render(request, "405.html", status=405)
    page["Allow"] = response["Allow"]
    return page


class ContentPolicyMiddleware(CSPMiddleware):
    """django-csp for pages. Data is no page: opened in a browser it loads nothing and stands in no frame (OWASP REST Security)."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if not response.headers.get("Content-Type", "").startswith("application/json"):
            return super().process_response(request, response)
        response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
        return response


class ApiMiddleware:
    """Authentication comes before the route is looked at: an unknown path with a bad key is 401."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_api(request):
            return self.get_response(request)
        request.path_info = request.path = request.path_info.rstrip("/")
        if request.path_info in OPEN_PATHS:
            return self.get_response(request)
        minute, bucket = limits.this_minute(), limits.bucket_of(request)
        try:
            actor, by_key, used = authenticate(request, minute, bucket)
        except Refusal as unknown:
            return refusal_response(unknown, request)
        request.actor = actor  # type: ignore[attr-defined]
        rate = limits.rate(used, minute, bucket)
        refusal = rate.refusal or _too_large(request)
        response = refusal_response(refusal, request) if refusal else self.get_response(request)
        response = _enveloped(response, request)
        if by_key:
            response["X-Key-Kind"] = "test" if actor.test else "live"
            if actor.test:
                response["X-Test-Mode"] = "true"
        for name, value in rate.headers.items():
            response[name] = value
        patch_vary_headers(response, ("X-API-Key", "Authorization", "Cookie"))
        return response


def authenticate(request: HttpRequest, minute: int, bucket: str = "requests") -> tuple[Actor, bool, int]:
    """The caller, whether a key (not a session) opened the call, and the caller's calls of `bucket` this minute, with this one.

    Raises InvalidApiKey, AgentForbidden, CsrfFailed.

    Who sends a key, even an empty one, is never answered as the person of the cookie; at /mcp nobody is.
    """
    key = sent_key(request)
    if key:
        holder, used = actor_of_key(key, minute, bucket)
        return holder, True, used
    if is_mcp(request.path_info):
        raise InvalidApiKey
    mode = request.headers.get("X-Team-Mode", "live").lower()
    actor = actor_of_session(request, "test" if mode == "test" else "live")
    if actor is None or _bearer(request) is not None or "X-API-Key" in request.headers:
        raise InvalidApiKey
    if _too_large(request) is None:
        _ = request.body  # read before the CSRF check looks into it as a form
    if check_csrf(request) is not None:
        raise CsrfFailed
    return actor, False, limits.count_request(actor, minute, bucket)


def sent_key(request: HttpRequest) -> str:
    """The key in X-API-Key, or else behind Bearer; "" when there is none."""
    return aliases.key_as_issued(request.headers.get("X-API-Key", "").strip() or (_bearer(request) or ""))


def _bearer(request: HttpRequest) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _too_large(request: HttpRequest) -> PayloadTooLarge | None:
    limit = body_limit(request.path_info)
    length = request.META.get("CONTENT_LENGTH") or "0"
    too_large = length.isascii() and length.isdecimal() and int(length) > limit
    return PayloadTooLarge(max_bytes=limit) if too_large else None

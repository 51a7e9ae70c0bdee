"""Refusals: every way of saying no, with its stable code, HTTP status and facts (docs/api/README.md section 6).

The docstring of a refusal is its message, filled in with its facts. One handler renders them (config/api.py).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NotRequired

from typing_extensions import TypedDict

_TYPES = {
    401: "auth_error",
    402: "billing_error",
    403: "auth_error",
    404: "not_found_error",
    409: "state_error",
    429: "rate_limit_error",
}


def _words(fact: Any) -> Any:
    """A list as people read it."""
    return ", ".join(map(str, fact)) if isinstance(fact, (list, tuple)) else fact


class DetailObject(TypedDict):
    """One thing that is wrong with the request, and where."""

    loc: list[str | int]
    msg: str
    type: str


class RefusalObject(TypedDict):
    """Some codes have more facts beside these (docs/errors.md)."""

    code: str
    reason_code: str
    message: str
    type: str
    request_id: str
    details: NotRequired[list[DetailObject]]


class ErrorObject(TypedDict):
    error: RefusalObject


class Refusal(Exception):
    """The request was refused."""

    code = "INTERNAL_ERROR"
    status = 500
    reason_code: str | None = None
    afterwards: Callable[[], object] | None = None  # for the door: see following_up()

    def __init__(self, message: str | None = None, *, reason_code: str | None = None, **facts: Any) -> None:
        self.facts = facts
        self.message = message or (self.__doc__ or "").strip().format(
            **{name: _words(fact) for name, fact in facts.items()}
        )
        self.reason = reason_code or self.reason_code or self.code.lower()
        super().__init__(self.message)

    def body(self, request_id: str) -> dict[str, Any]:
        kind = _TYPES.get(self.status) or ("server_error" if self.status >= 500 else "validation_error")
        error = {"code": self.code, "reason_code": self.reason, "message": self.message, "type": kind}
        return {"error": error | {"request_id": request_id} | self.facts}

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.facts["retry_after"])} if "retry_after" in self.facts else {}

    def follow_up(self) -> None:
        """Do, once, what is left to do when the refused transaction is rolled back."""
        afterwards, self.afterwards = self.afterwards, None
        if afterwards is not None:
            afterwards()


@contextmanager
def following_up() -> Iterator[None]:
    """Around what a door calls, outside its transactions: who refuses leaves work for after the rollback; it is done here."""
    try:
        yield
    except Refusal as refusal:
        refusal.follow_up()
        raise


class InvalidLimit(Refusal):
    """limit must be a whole number from 1 to 200."""

    code, status = "INVALID_LIMIT", 400

    def __init__(self, actual: Any) -> None:
        super().__init__(actual=actual, min=1, max=200)


class InvalidStatusFilter(Refusal):
    """An unknown status was asked for; known are {valid_options}."""

    code, status = "INVALID_STATUS_FILTER", 400


class InvalidFilter(Refusal):
    """The filter {parameter} has an unknown value; known are {valid_options}."""

    code, status = "INVALID_FILTER", 400


class InvalidCursor(Refusal):
    """The cursor was not issued by this server."""

    code, status = "INVALID_CURSOR", 400


class EmptyUpdate(Refusal):
    """The update names no field."""

    code, status = "EMPTY_UPDATE", 400


class BadRequest(Refusal):
    """The server could not read the request. Check its host name (ALLOWED_HOSTS) and its headers."""

    code, status = "BAD_REQUEST", 400


class NotFound(Refusal):
    """There is nothing at this address."""

    code, status = "NOT_FOUND", 404


class MethodNotAllowed(Refusal):
    """This address does not take that method."""

    code, status = "METHOD_NOT_ALLOWED", 405


class InvalidState(Refusal):
    """It is {current_state}; it would have to be {allowed_from}."""

    code, status = "INVALID_STATE", 409


class PayloadTooLarge(Refusal):
    """The body is larger than {max_bytes} bytes."""

    code, status = "PAYLOAD_TOO_LARGE", 413


class Invalid(Refusal):
    """The request is not valid: see details."""

    code, status = "VALIDATION_ERROR", 422

    def __init__(self, *details: tuple[tuple[str | int, ...], str, str]) -> None:
        """Each detail is (loc, msg, type); loc starts with body, query or header."""
        super().__init__(details=[{"loc": list(loc), "msg": msg, "type": kind} for loc, msg, kind in details])

    @property
    def violations(self) -> list[tuple[tuple[str | int, ...], str, str]]:
        """The details, as they came in."""
        return [(tuple(d["loc"]), d["msg"], d["type"]) for d in self.facts["details"]]


class RateLimited(Refusal):
    """Too many requests. Try again in {retry_after} s."""

    code, status = "RATE_LIMITED", 429


class TooManySlowCalls(RateLimited):
    """This key has {limit} calls at work that take long, the most it may have at once. Try again in {retry_after} s."""

    reason_code = "slow_calls"


class Unavailable(Refusal):
    """The installation cannot do this at the moment. Try again in {retry_after} s."""

    code, status = "UPSTREAM_UNAVAILABLE", 503
    seconds = 2

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, retry_after=self.seconds)


class Overloaded(Unavailable):
    """The server has more calls in hand than it can answer in time. Nothing was done; try again in {retry_after} s."""

    reason_code = "overloaded"


class DatabaseAway(Unavailable):
    """The database does not answer. Try again in {retry_after} s, with an Idempotency-Key what must not be done twice."""

    reason_code = "database_away"


class Locked(Unavailable):
    """What this call needs is held by another one for too long. It was not done; try again in {retry_after} s."""

    reason_code = "locked"
    seconds = 1


class DiskFull(Unavailable):
    """The disk of the installation is full. Nothing was changed; make room, then try again."""

    reason_code = "disk_full"
    seconds = 30


class InternalError(Refusal):
    """Something went wrong on our side. Nothing was changed; quote the request id when you report it."""

    code, status = "INTERNAL_ERROR", 500

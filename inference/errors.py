"""What goes wrong with a model, by what can be done about it. None of these is the agent's fault."""

from inference.records import CallRecord
from web.errors import NotFound, Refusal


class ModelProblem(Exception):
    """`why` is a sentence for people without secrets in it; `record` tells of the call, which may have been paid."""

    def __init__(self, why: str, record: CallRecord | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.record = record


class ModelBusy(ModelProblem):
    """The model may answer later: overloaded, rate limited, silent, not reached. `retry_after`: seconds from now."""

    def __init__(self, why: str, retry_after: float, record: CallRecord | None = None) -> None:
        super().__init__(why, record)
        self.retry_after = retry_after


class ModelRefused(ModelProblem):
    """The model, or its vendor's filter, will not do this. `category`: the vendor's word for it."""

    def __init__(self, why: str, category: str = "", record: CallRecord | None = None) -> None:
        super().__init__(why, record)
        self.category = category


class ModelMisconfigured(ModelProblem):
    """Asking again does not help before a person changed something: key refused, unknown model, request not accepted."""


class SessionNotFound(NotFound):
    """There is no such session; a session ends half an hour after its last use."""

    code = "SESSION_NOT_FOUND"


class SessionLimitReached(Refusal):
    """A key has at most {limit} sessions. Delete one, or wait {retry_after} s until the oldest ends."""

    code, status = "SESSION_LIMIT_REACHED", 429


class InvalidScreenshot(Refusal):
    """A screenshot is not a picture that can be used: see details."""

    code, status = "INVALID_SCREENSHOT", 422

    def __init__(self, *details: tuple[tuple[str | int, ...], str]) -> None:
        """Each detail is (loc, msg); loc starts with body."""
        super().__init__(details=[{"loc": list(loc), "msg": msg, "type": "value_error"} for loc, msg in details])


class PredictionFailed(Refusal):
    """The model gave no answer that can be used. Nothing was charged."""

    code, status = "PREDICTION_FAILED", 500


class GroundingFailed(Refusal):
    """The element was not found in the picture. Nothing was charged."""

    code, status, reason_code = "GROUNDING_FAILED", 500, "element_not_found"


class ModelFault(Refusal):
    """The model could not be asked. Nothing was charged."""

    code, status = "UPSTREAM_ERROR", 502


class ModelAway(Refusal):
    """The model does not answer now. Nothing was charged. Try again in {retry_after} s."""

    code, status = "UPSTREAM_UNAVAILABLE", 503


class ModelSlow(Refusal):
    """The model did not answer within {seconds} s. Nothing was charged."""

    code, status = "UPSTREAM_TIMEOUT", 504

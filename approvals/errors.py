"""Refusals of decisions (docs/api/approvals.md section 5)."""

import json
from typing import Any

from web.errors import Refusal


class ApprovalNotFound(Refusal):
    """There is no such approval request."""

    code, status = "APPROVAL_NOT_FOUND", 404


class LogOfRun(Refusal):
    """What happens to this request stands in the log of its run: GET /v1/runs/{run_id}/events."""

    code, status = "NOT_FOUND", 404


class AlreadyDecided(Refusal):
    """{decided_by[name]} decided this request otherwise ({verdict}) at {decided_at}."""

    code, status = "ALREADY_DECIDED", 409


class ApprovalExpired(Refusal):
    """The request expired at {resolved_at}; nobody can decide it any more."""

    code, status = "APPROVAL_EXPIRED", 409


class ApprovalCancelled(Refusal):
    """The request was cancelled at {resolved_at}, with its run or by who asked."""

    code, status = "APPROVAL_CANCELLED", 409


class ApprovalVoid(Refusal):
    """The request is void since {resolved_at}: what it was about changed. Another one took its place: {replaced_by}."""

    code, status = "APPROVAL_VOID", 409


class ApprovalClaimed(Refusal):
    """{claimed_by[name]} is working on this request until {claim_expires_at}."""

    code, status = "APPROVAL_CLAIMED", 409


class WrongEndpoint(Refusal):
    """This call does not fit a request of kind {kind}; use {use}."""

    code, status = "WRONG_ENDPOINT", 409


class SignalDoesNotFit(Refusal):
    """A request of kind {kind} does not take this signal; it takes {allowed}."""

    code, status = "INVALID_SIGNAL_TYPE", 409


class UnknownSignal(Refusal):
    """The action of a signal is one of {allowed}."""

    code, status = "INVALID_SIGNAL_TYPE", 422


class ActionChanged(Refusal):
    """The action is no longer the one you looked at. Look again before you decide."""

    code, status = "ACTION_CHANGED", 409


class AnswerRequired(Refusal):
    """Every question and every required value needs an answer; missing: {missing}. A body that would work: {example}, sent
    to {send_to}.
    """

    code, status = "ANSWER_REQUIRED", 422

    def __init__(
        self, missing: list[str], example: dict[str, Any], run_id: str | None = None, send_to: str | None = None
    ) -> None:
        send_to = send_to or f"POST /v1/runs/{run_id or '<run id>'}/answer"
        shown = json.dumps(example, ensure_ascii=False)
        message = " ".join((self.__doc__ or "").split())
        message = message.format(missing=", ".join(missing), example=shown, send_to=send_to)
        super().__init__(message, missing=missing, example=example, send_to=send_to)


class PolicyNotFound(Refusal):
    """There is no such policy."""

    code, status = "POLICY_NOT_FOUND", 404


class UndoNotPossible(Refusal):
    """This decision cannot be undone: {words}."""

    code, status = "UNDO_NOT_POSSIBLE", 409


class NotEligible(Refusal):
    """You may not decide this request."""

    code, status = "NOT_ELIGIBLE", 403


class SelfApprovalForbidden(Refusal):
    """Who started a run may not approve its requests, and a key decides nothing that it asked: somebody else has to."""

    code, status = "SELF_APPROVAL_FORBIDDEN", 403


class TooManyRequestsOpen(Refusal):
    """This key has {limit} open requests, the most it may have. Wait for decisions, or cancel some."""

    code, status = "TOO_MANY_REQUESTS_OPEN", 429

"""What webhooks say of runs and of their requests, as of the moment; called in the transaction of the change.

The webhook_url of a run hears that the run waits and how it ends, and nothing else; a child run has none.
"""

from typing import Any

from accounts.webhooks.outbox import Own, emit
from approvals.access import decision_of
from approvals.models import Approval
from approvals.schemas import approval_object
from runs.access import show
from runs.models import Run


def opened(run: Run, approval: Approval) -> None:
    """The run waits for this request. For a workflow run that waits through a child the request is the child's."""
    top = _top(run)
    _emit(top, f"{_prefix(top)}.awaiting_human", approval, own=True)
    if approval.run_id == run.id:
        _emit(run, "run.awaiting_input", approval)
        _emit(run, "approval.created", approval)


def decided(run: Run, approval: Approval, change: str = "decided") -> None:
    """The request was decided, or its decision undone; the run is shown as it then is."""
    _emit(run, "approval.decided", approval, change=change)


def expired(run: Run, approval: Approval) -> None:
    _emit(run, "approval.expired", approval)


def resumed(run: Run, approval: Approval) -> None:
    """A decision took effect: what the log calls `resumed`."""
    top = _top(run)
    _emit(top, f"{_prefix(top)}.resumed", approval)


def ended(run: Run) -> None:
    if run.parent_id is None:
        _emit(run, f"{_prefix(run)}.{run.status}", own=True)


def _top(run: Run) -> Run:
    """The run that is told of: a workflow run speaks for those below it."""
    return run if run.parent_id is None else Run.objects.get(id=run.parent_id)


def _prefix(run: Run) -> str:
    return "workflow_run" if run.kind == "workflow" else "run"


def _emit(
    run: Run, kind: str, approval: Approval | None = None, *, own: bool = False, change: str | None = None
) -> None:
    secret = bytes(run.webhook_secret) if run.webhook_secret else None
    address = Own(run.webhook_url, secret) if own and run.webhook_url and secret else None
    emit(kind, run.team_id, run.test, lambda: _facts(run, approval, change), run_id=run.id, own=address)


def _facts(run: Run, approval: Approval | None, change: str | None) -> dict[str, Any]:
    shown = show(run)
    return {
        "run_id": run.id,
        "workflow_id": run.workflow_id,
        "status": run.status,
        "state": run.status,
        "result": run.result,
        "output": shown.get("output"),
        "error": run.error,
        "awaiting_human_reason": run.awaiting_human_reason,
        "reason": run.awaiting_human_reason,
        "change": change,
        "awaiting_step_id": run.awaiting_step_id,
        "data": {"run_id": run.id, "status": run.status},
        "run": shown,
    } | (_of_request(approval) if approval else {})


def _of_request(approval: Approval) -> dict[str, Any]:
    return {
        "approval_id": approval.id,
        "input_kind": approval.traits.input_kind,
        "approval": approval_object(approval, decision_of(approval)),
    }

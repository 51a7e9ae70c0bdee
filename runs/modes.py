"""Changing the permission mode of a run under way (contract/approvals.md section 12)."""

from django.db import transaction
from django.db.models import QuerySet

from accounts.actor import Actor
from accounts.errors import Invalid, InvalidState, Refusal
from approvals.access import pending_of_root
from approvals.errors import ApprovalExpired
from approvals.models import Approval
from approvals.services import Answer
from runs.decisions import decide
from runs.events import wake_workers
from runs.models import ACTIVE, Run
from runs.services import lock_run, unfinished_tasks


def switch(actor: Actor, run_id: str, mode: str) -> list[str]:
    """The ids of the tool requests that the switch to autonomous approved. The mode of a workflow run is that of its tasks.

    Requests asked by a policy or the risk floor, and those that the actor may not decide, stay open. Switching to plan makes the
    agent propose a plan before its next action. Raises Invalid, InvalidState.
    """
    with transaction.atomic():
        run = lock_run(run_id)
        if mode != "autonomous" and run.human_in_the_loop is not True:
            raise Invalid((("body", "permission_mode"), "Needs human_in_the_loop true.", "value_error"))
        if run.is_terminal:
            raise InvalidState(current_state=run.status, allowed_from=list(ACTIVE))
        reached = [run, *unfinished_tasks(run).select_for_update().order_by("id")]
        for each in reached:
            _set(each, mode)
        resolved = [a.id for a in _lifted(run) if _approve(actor, a)] if mode == "autonomous" else []
        for each in reached:
            wake_workers(each.id)
        return resolved


def _set(run: Run, mode: str) -> None:
    if mode == "plan" and run.permission_mode != "plan":
        run.plan = None
    run.permission_mode = mode
    run.save(update_fields=["permission_mode", "plan"])


def _lifted(run: Run) -> QuerySet[Approval]:
    """The open requests that only the mode asked: the run's own and those of the runs below it."""
    rows = pending_of_root(run.root_id).filter(kind="tool", by_rule=False)
    return rows.filter(run_id=run.id) if run.parent_id else rows


def _approve(actor: Actor, request: Approval) -> bool:
    try:
        with transaction.atomic():
            decide(actor, request, Answer("approve"), via="mode_change")
    except Refusal as refusal:
        if isinstance(refusal, ApprovalExpired) and refusal.afterwards is not None:
            refusal.afterwards()  # here, since the switch itself is not refused
        return False
    return True

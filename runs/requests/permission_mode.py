"""Changing the permission mode of a run under way (docs/api/approvals.md section 12)."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import QuerySet

from accounts.actor import Actor
from accounts.keys.owners import person_behind, person_of
from approvals.access import pending_of_root
from approvals.answers.answer import Answer
from approvals.deciders.eligibility import barred_from
from approvals.deciding import decide
from approvals.errors import ApprovalExpired, SelfApprovalForbidden
from approvals.models import Approval
from approvals.policies.allowances import may_let_oneself
from runs.log import wake_workers
from runs.models import ACTIVE, Run
from runs.services import lock_run, unfinished_tasks
from web.errors import Invalid, InvalidState, Refusal

# How much is asked: a plan is asked for once.
_ASKS = {"autonomous": 0, "plan": 1, "approval": 2}


def switch(actor: Actor, run_id: str, mode: str) -> list[str]:
    """The ids of the tool requests that the switch to autonomous approved. The mode of a workflow run is that of its tasks.

    Requests asked by a policy or the risk floor, and those that the actor may not decide, stay open. Switching to plan makes the
    agent propose a plan before its next action. Raises Invalid, SelfApprovalForbidden, InvalidState.
    """
    with transaction.atomic():
        run = lock_run(run_id)
        if mode != "autonomous" and run.human_in_the_loop is not True:
            raise Invalid((("body", "permission_mode"), "Needs human_in_the_loop true.", "value_error"))
        reached = [run, *unfinished_tasks(run).select_for_update().order_by("id")]
        _require_other_or_stricter(actor, reached, mode)
        if run.is_terminal:
            raise InvalidState(current_state=run.status, allowed_from=list(ACTIVE))
        for each in reached:
            _set(each, mode)
        resolved = [a.id for a in _lifted(run) if _approve(actor, a)] if mode == "autonomous" else []
        for each in reached:
            wake_workers(each.id)
        return resolved


def _require_other_or_stricter(actor: Actor, reached: Sequence[Run], mode: str) -> None:
    """Who may not approve what a run does may not have it ask less either, nor may who started it without the right to loosen.

    Raises SelfApprovalForbidden.
    """
    run = reached[0]
    if mode != "autonomous" and all(_ASKS[mode] >= _ASKS[each.permission_mode] for each in reached):
        return
    if person_of(actor) != person_behind(run.created_by, run.owner_id):
        return
    if not may_let_oneself(actor) or any(barred_from(actor, approval) for approval in pending_of_root(run.root_id)):
        raise SelfApprovalForbidden(started_by=run.created_by)


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
        if isinstance(refusal, ApprovalExpired):
            refusal.follow_up()  # here, since the switch itself is not refused
        return False
    return True

"""Working on a request without deciding it; each change leaves an event on the run's log, in its transaction."""

from collections.abc import Callable
from typing import Any

from django.db import transaction

from accounts.actor import Actor, system
from approvals import handling
from approvals.access import get_approval, held_by, locked_approval
from approvals.mail import outbox
from approvals.models import Approval
from approvals.services import raise_closed
from runs.decisions import approval_event, settling_expiry
from runs.log import record
from runs.models import Run
from runs.services import lock_run
from web.times import rfc3339

LONGEST_EXTENSION = 2_592_000  # seconds: 30 days


def _change(
    actor: Actor, approval_id: str, change: str, work: Callable[[Run, Approval], object], *, open_only: bool = True
) -> Approval:
    """Lock run and request, refuse a request that is closed, do the work, record it. No event when nothing changed, and
    none in the log of a run that has ended."""
    seen = get_approval(actor, approval_id)
    with settling_expiry(), transaction.atomic():
        run = lock_run(seen.run_id)
        approval = locked_approval(seen.id)
        if open_only and not approval.is_open:
            raise_closed(approval)
        handling.keep_claim_alive(actor, approval)
        before = _told(approval)
        if work(run, approval) is not False and not run.is_terminal:
            record(run, approval_event(approval, change, actor, **_difference(before, _told(approval))))
        return approval


def _told(approval: Approval) -> dict[str, Any]:
    """What the log tells of a change: who the request is assigned to, and until when it waits."""
    return {"assignee": approval.assignee, "expires_at": rfc3339(approval.expires_at)}


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    changed = [name for name in after if after[name] != before[name]]
    return {"before": {name: before[name] for name in changed}, "after": {name: after[name] for name in changed}}


def claim(actor: Actor, approval_id: str, *, take_over: bool = False) -> Approval:
    """Raises ApprovalNotFound, ApprovalClaimed, or as a late decision."""
    return _change(actor, approval_id, "claimed", lambda run, a: handling.claim(actor, a, take_over=take_over))


def release(actor: Actor, approval_id: str) -> Approval:
    """Raises ApprovalNotFound, ApprovalClaimed."""
    return _change(actor, approval_id, "released", lambda run, a: handling.release(actor, a), open_only=False)


def assign(actor: Actor, approval_id: str, assignee: str | None, note: str | None = None) -> Approval:
    """Raises ApprovalNotFound, Invalid, or as a late decision."""

    def work(run: Run, approval: Approval) -> None:
        before = approval.assignee
        handling.assign(approval, assignee)
        if assignee != before:
            outbox.assigned(actor, approval)
        if note:
            handling.comment(actor, approval, note)

    return _change(actor, approval_id, "assigned", work)


def hand_back(team_id: str, user_id: str) -> None:
    """Who may no longer decide in this team holds nothing: their claims end, and what was assigned to them is nobody's."""
    holders = handling.without_right(team_id, user_id)
    for approval in held_by(team_id, holders):
        actor = system(team_id, approval.test)
        _change(actor, approval.id, "released", lambda run, a: handling.end_claim(a, holders), open_only=False)
        _change(actor, approval.id, "assigned", lambda run, a: handling.end_assignment(a, holders), open_only=False)


def extend(actor: Actor, approval_id: str, seconds: int) -> Approval:
    """Raises ApprovalNotFound, InvalidState, or as a late decision."""
    return _change(actor, approval_id, "extended", lambda run, a: handling.extend(a, seconds))


def comment(actor: Actor, approval_id: str, text: str) -> Approval:
    """Words beside a request, also a closed one. Raises ApprovalNotFound."""
    return _change(actor, approval_id, "commented", lambda run, a: handling.comment(actor, a, text), open_only=False)

"""Taking back a decision whose effect is still to come.

Locks as for a decision: the subject, the request.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from approvals import services, subjects
from approvals.access import get_approval, locked_approval
from approvals.deciding import change_of
from approvals.errors import NotEligible, UndoNotPossible
from approvals.mail import outbox, reminders
from approvals.models import Approval, Decision


def undo(actor: Actor, approval_id: str) -> Approval:
    """Make a decision undone while its effect is still to come: the request waits again, with its timeout anew.

    By the decider or an admin. Raises ApprovalNotFound, UndoNotPossible, NotEligible.
    """
    approval = get_approval(actor, approval_id)
    with transaction.atomic():
        subject = subjects.lock(approval)
        approval = locked_approval(approval_id)
        _open_again(actor, approval)
        subject.put_off(None, change_of(approval, "undone", actor.ref()))
        subject.announce(approval, "undone")
        outbox.opened(approval, again=True)
        return approval


def _open_again(actor: Actor, approval: Approval) -> None:
    now = approval.clock(timezone.now())
    decision = Decision.objects.select_for_update().filter(approval=approval, counts=True).first()
    if decision is None or approval.undo_until is None:
        raise UndoNotPossible(reason_code="undo_disabled", words="the team has no undo window or nothing was decided")
    if not approval.effect_pending and approval.effective_at is not None:
        raise UndoNotPossible(reason_code="already_effective", words="it has taken effect")
    if not approval.effect_pending:
        raise UndoNotPossible(
            reason_code="undo_expired", words="what it was about ended or changed before it took effect"
        )
    if approval.undo_until <= now:
        raise UndoNotPossible(reason_code="undo_expired", words="the time for it is over")
    if decision.actor["id"] != actor.id and not actor.is_admin:
        raise NotEligible(eligible=[decision.actor["name"], "admin"])
    services.forget(actor, decision)
    decision.counts, decision.loss, decision.sealed = False, "UNDONE", None
    decision.save(update_fields=["counts", "loss", "sealed"])
    _without_last_vote(approval, decision)
    _wait_anew(approval, now)


def _wait_anew(approval: Approval, now: datetime) -> None:
    approval.expires_at = now + timedelta(seconds=approval.timeout_seconds) if approval.timeout_seconds else None
    reminders.plan(approval, now)
    services.move(
        approval,
        "pending",
        now,
        effective_at=None,
        undo_until=None,
        effect_pending=False,
        expires_at=approval.expires_at,
        reminders=approval.reminders,
        remind_at=approval.remind_at,
        edited_action=approval.edited_action,
        action_hash=approval.action_hash,
    )


def _without_last_vote(approval: Approval, decision: Decision) -> None:
    """An approval undone takes its vote back, and its edit, unless votes that are left stand for that."""
    if decision.verdict == "approve":
        last = approval.votes.order_by("-at", "-id").first()
        if last is not None:
            last.delete()
    if not approval.votes.exists():
        approval.edited_action = None
        approval.action_hash = approval.context.get("proposed_hash", approval.action_hash)

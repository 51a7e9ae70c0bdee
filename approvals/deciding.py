"""Deciding a request: the one function behind every endpoint and page (docs/adr/0002).

Locks, always in this order: what the request is about (for a run: root run, run), then the request. The loser of a race is
classified after the winner's commit.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor, system
from approvals import services, subjects
from approvals.access import locked_approval
from approvals.answers.answer import Answer
from approvals.answers.defaults import default_answer
from approvals.errors import ApprovalExpired
from approvals.models import Approval, Decision
from approvals.services import Settled
from approvals.subjects import Change, Locked
from database.sealing import seal, unseal
from web.errors import Refusal
from web.times import rfc3339

LOST = frozenset({"ALREADY_DECIDED", "APPROVAL_EXPIRED", "APPROVAL_CANCELLED", "APPROVAL_VOID", "APPROVAL_CLAIMED"})
CLOSED_BY_SILENCE = frozenset({"cancel", "fail", "expire"})  # the other ways of on_timeout decide
S = TypeVar("S", bound=Locked)


@dataclass(frozen=True)
class DecisionResult(Generic[S]):
    """What is true after the commit. `resumed`: the subject goes on through this decision."""

    approval: Approval
    decision: Decision | None  # None: a vote that does not complete the quorum
    subject: S
    resumed: bool


def decide(
    actor: Actor, approval: Approval, answer: Answer | Callable[[Approval], Answer], via: str = "api"
) -> DecisionResult[Locked]:
    """Decide the request that the actor was shown. A callable composes the answer once the request is locked.

    Raises Invalid, AnswerRequired, NotEligible, SelfApprovalForbidden, AlreadyDecided, ApprovalExpired, ApprovalCancelled,
    ApprovalVoid, ApprovalClaimed, ActionChanged.
    """
    return lock_and_decide(actor, lambda: (subjects.lock(approval), approval.id), answer, via)


@contextmanager
def settling_expiry() -> Iterator[None]:
    """Who comes after expires_at is refused, and does what the clock would do. The refusal undoes the caller's transaction, with
    an idempotency key's record: so the expiry is settled after that, by whoever answers, in a transaction of its own.
    """
    try:
        yield
    except ApprovalExpired as refusal:
        late, then = refusal.facts["approval_id"], refusal.afterwards or (lambda: None)
        refusal.afterwards = lambda: (expire(late), then())
        raise


@settling_expiry()
def lock_and_decide(
    actor: Actor, lock: Callable[[], tuple[S, str]], answer: Answer | Callable[[Approval], Answer], via: str
) -> DecisionResult[S]:
    """As decide(), for the request that `lock` finds once it has locked the subject: it returns both.

    An attempt that comes too late is kept for the audit, after its transaction is undone.
    """
    attempt: tuple[Approval, Answer] | None = None
    try:
        with transaction.atomic():
            subject, approval_id = lock()
            approval = locked_approval(approval_id)
            accepted = subject.accept(actor, approval, answer if isinstance(answer, Answer) else answer(approval))
            attempt = approval, accepted.answer
            settled = services.settle(actor, approval, accepted.answer, via, hands_back=accepted.hands_back)
            if settled.decision is None and settled.fresh:
                subject.record(change_of(approval, "vote", actor.ref(), note=accepted.answer.note))
                services.notify(approval)
            elif settled.fresh:
                _follow_up(actor, subject, approval, settled)
            return DecisionResult(approval, settled.decision, subject, _resumes(settled, approval, subject))
    except Refusal as refusal:
        if refusal.code in LOST and attempt is not None:
            refusal.afterwards = partial(services.record_loss, actor, *attempt, via, refusal.code)
        raise


def settle_locked(
    actor: Actor, subject: Locked, approval: Approval, answer: Answer, via: str, *, entitled: bool = False
) -> None:
    """Decide a request whose locks the caller holds, by giving back control of the subject's machine."""
    settled = services.settle(actor, approval, answer, via, entitled=entitled, hands_back=True)
    _follow_up(actor, subject, approval, settled)


def _follow_up(actor: Actor, subject: Locked, approval: Approval, settled: Settled) -> None:
    """A fresh decision takes effect now, or after the undo window: then the subject still waits and says until when."""
    if approval.effect_pending:
        subject.put_off(approval.effective_at, change_of(approval, "decided", actor.ref()))
    else:
        _take_effect(subject, approval, settled)
    subject.announce(approval, "decided")


def _resumes(settled: Settled, approval: Approval, subject: Locked) -> bool:
    """Does the subject go on through this decision? A repeated call is told what the first one was told."""
    if settled.decision is None or approval.effect_pending or approval.effective_at is None:
        return False
    return settled.decision.effect != "fail_run" and (not settled.fresh or subject.goes_on)


def change_of(approval: Approval, change: str, by: Change, at: datetime | None = None, **more: Any) -> Change:
    """What the subject's log says of a change of the request; `more` is the rest of it, where there is any."""
    facts = {"approval_id": approval.id, "change": change, "by": by, "at": rfc3339(at or timezone.now())}
    return facts | {name: value for name, value in more.items() if value}


# --- effects that are put off: by the undo window, or because the subject could not go on


def make_effective(approval_id: str) -> bool:
    """The undo window is over: the decision takes effect. False when its turn has passed."""
    approval = Approval.objects.filter(id=approval_id).first()
    if approval is None:
        return False
    with transaction.atomic():
        subject = subjects.lock(approval)
        approval = locked_approval(approval_id)
        if not approval.effect_pending or approval.effective_at is None or subject.is_stopped:
            return False
        if approval.effective_at > timezone.now():
            return False
        _take_late_effect(subject, approval)
        return True


def take_late_effects(subject: Locked) -> None:
    """What was decided while the subject could not go on takes effect."""
    late = subject.requests.select_for_update().filter(effect_pending=True, effective_at__isnull=True)
    for approval in late:
        _take_late_effect(subject, approval)


def _take_late_effect(subject: Locked, approval: Approval) -> None:
    decision = Decision.objects.get(approval=approval, counts=True)
    payload, redacted = unseal(decision.sealed) if decision.sealed else ({}, {})
    approval.effect_pending, approval.effective_at = False, approval.effective_at or timezone.now()
    approval.save(update_fields=["effect_pending", "effective_at"])
    services.notify(approval)
    Decision.objects.filter(id=decision.id).update(sealed=None)
    _take_effect(subject, approval, Settled(decision, True, payload, redacted))


def _take_effect(subject: Locked, approval: Approval, settled: Settled) -> None:
    if subject.take_effect(approval, settled):
        return
    decision = settled.decision
    assert decision is not None
    approval.effect_pending, approval.effective_at = True, None
    approval.save(update_fields=["effect_pending", "effective_at"])
    is_recorded = decision.sealed is not None  # by the undo window
    decision.sealed = seal([settled.payload, settled.redacted])
    decision.save(update_fields=["sealed"])
    subject.put_off(None, *(() if is_recorded else (change_of(approval, "decided", decision.actor, decision.at),)))


# --- silence


def expire(approval_id: str) -> bool:
    """Nobody answered in time: do what the request's on_timeout says. False when its turn has passed."""
    approval = Approval.objects.filter(id=approval_id).first()
    if approval is None:
        return False
    with transaction.atomic():
        subject = subjects.lock(approval)
        approval = locked_approval(approval_id)
        if approval.status != "pending" or not approval.is_late(timezone.now()) or subject.is_stopped:
            return False
        _expire(subject, approval)
        return True


def _expire(subject: Locked, approval: Approval) -> None:
    actor = system(approval.team_id, approval.test)
    if approval.on_timeout in CLOSED_BY_SILENCE:
        services.close(approval, "expired", "timeout", actor, timezone.now(), note="No answer in time.")
        subject.end_unanswered(approval, change_of(approval, "expired", actor.ref(), approval.resolved_at))
        subject.announce(approval, "expired")
        return
    by_default = default_answer(approval) if approval.on_timeout == "default_answer" else None
    answer = by_default or Answer("reject", note="No answer in time.")
    _take_effect(subject, approval, services.settle(actor, approval, answer, "timeout"))
    subject.announce(approval, "decided")

"""Opening and settling approval requests. Callers hold the locks of the root run and the run, in this order, before the
request's own; what a decision does to the run is theirs (approvals/deciding.py, docs/adr/0002)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NoReturn

from django.db.models import QuerySet
from django.utils import timezone

from accounts.access import team_setting
from accounts.actor import Actor, system
from approvals import sql
from approvals.answers import reading
from approvals.answers.answer import Answer, Payload, fingerprint, payload, require_fitting, sent_back
from approvals.deciders import quorum
from approvals.deciders.eligibility import is_own, require_decider, require_unclaimed
from approvals.errors import (
    ActionChanged,
    AlreadyDecided,
    ApprovalCancelled,
    ApprovalExpired,
    ApprovalVoid,
    NotEligible,
)
from approvals.kinds import DECIDED, KINDS, VERDICTS
from approvals.mail import reminders
from approvals.models import APPROVAL_MOVES, Approval, Decision
from approvals.policies import services as policies
from approvals.policies.allowances import may_let_oneself
from approvals.policies.conditions import canonical
from database.sealing import seal
from database.sql import insert, prepared, save
from web.times import rfc3339


@dataclass(frozen=True)
class Settled:
    """`fresh` is False when the same decision had been made before. `payload` is readable, secrets included.

    `decision` is None for a vote that does not complete the quorum: the request still waits, and `fresh` tells whether the
    vote is a new one.
    """

    decision: Decision | None
    fresh: bool
    payload: dict[str, Any] = field(default_factory=dict)
    redacted: dict[str, Any] = field(default_factory=dict)


def move(approval: Approval, to: str, now: datetime, **fields: Any) -> None:
    """The only writer of a request's status; the caller holds its lock."""
    if to not in APPROVAL_MOVES[approval.status]:
        raise ValueError(f"{approval.id} cannot move from {approval.status} to {to}.")
    approval.status = to
    approval.resolved_at = None if to == "pending" else now
    approval.version += 1
    for name, value in fields.items():
        setattr(approval, name, value)
    save(approval, ("status", "resolved_at", "version", *fields))
    notify(approval)


def notify(approval: Approval) -> None:
    """Ring who waits for this request (approvals/waiting), sent by the commit; after every change that the API shows."""
    prepared(sql.NOTIFY, {"id": approval.id})


def queue_changed(team_id: str, test: bool) -> None:
    """Who shows the queue of this team and world looks again."""
    prepared(sql.TELL_PAGES, {"team": f"{team_id}:{'test' if test else 'live'}/queue"})


def open_request(**fields: Any) -> Approval:
    """A new pending request; numbers it among those of its run and sets its expiry from timeout_seconds."""
    now = timezone.now()
    seconds = fields.get("timeout_seconds")
    expires_at = now + timedelta(seconds=seconds) if seconds else None
    fields["questions"] = reading.tidy_questions(fields.get("questions") or [])
    fields.setdefault("on_reject", KINDS[fields["kind"]].on_reject)
    run_id = fields.get("run_id")
    seq = Approval.objects.filter(run_id=run_id).count() + 1 if run_id is not None else None
    remind_at = reminders.first_at(now, expires_at)
    return insert(Approval(**fields, seq=seq, created_at=now, expires_at=expires_at, remind_at=remind_at))


def settle(
    actor: Actor, approval: Approval, answer: Answer, via: str, *, entitled: bool = False, hands_back: bool = False
) -> Settled:
    """Decide the locked request, or find that it was decided so before. Raises a Refusal and changes nothing otherwise.

    `hands_back`: the actor gives back control that it holds: somebody else's claim is no reason to keep it.
    `entitled`: it took that control itself, which needs no right to decide.
    """
    answer = sent_back(approval, answer)
    require_fitting(approval, answer)
    readable, redacted = payload(approval, answer)
    payload_hash = fingerprint(answer, readable)
    if not entitled:
        require_decider(actor, approval, answer.verdict)
    if approval.status != "pending" or (via != "timeout" and approval.is_late(timezone.now())):
        return _again(actor, approval, answer, payload_hash)
    if not (entitled or hands_back):
        require_unclaimed(actor, approval)
    if answer.action_hash is not None and answer.action_hash != approval.action_hash:
        raise ActionChanged(action_hash=approval.action_hash)
    if VERDICTS[answer.verdict].approves and approval.quorum and actor.kind != "system":
        is_new, is_complete = _vote(actor, approval, answer)
        if not is_complete:
            return Settled(None, is_new)
    edited = answer.edited_action or approval.edited_action
    if edited and answer.verdict == "approve":
        readable, redacted = readable | {"edited_action": edited}, redacted | {"edited_action": edited}
    decision = _decide(actor, approval, answer, via, payload_hash, (readable, redacted), edited)
    _remember(actor, approval, decision, answer)
    return Settled(decision, True, readable, redacted)


def _decide(
    actor: Actor,
    approval: Approval,
    answer: Answer,
    via: str,
    payload_hash: str,
    payloads: tuple[Payload, Payload],
    edited: dict[str, Any] | None,
) -> Decision:
    """The request is decided, and takes effect now or after the undo window."""
    now, window = timezone.now(), _undo_window(actor, approval)
    effective_at = approval.clock(now) + window
    move(
        approval,
        VERDICTS[answer.verdict].status,
        now,
        effective_at=effective_at,
        undo_until=effective_at if window else None,
        effect_pending=bool(window),
        edited_action=edited,
        claimed_by=None,
        claim_expires_at=None,
    )
    return insert(
        Decision(
            **_of(approval),
            verdict=answer.verdict,
            effect=_effect(approval, answer),
            actor=actor.ref(),
            via=via,
            note=answer.note or None,
            answers=payloads[1].get("answers"),
            values=payloads[1].get("values"),
            payload_hash=payload_hash,
            action_before=approval.action,
            action_after=approval.action_now,
            at=now,
            sealed=seal(list(payloads)) if window else None,
        )
    )


def _of(approval: Approval) -> dict[str, Any]:
    """What every decision on the request, and every attempt at one, says of it."""
    return {"approval": approval, "team_id": approval.team_id, "test": approval.test}


def _vote(actor: Actor, approval: Approval, answer: Answer) -> tuple[bool, bool]:
    """Whether this approval counted as a new vote, and whether the quorum is complete with it.

    Raises NotEligible for who is in no lacking group.
    """
    if answer.edited_action is not None and answer.edited_action != approval.edited_action:
        approval.votes.all().delete()
        _edit(approval, answer)
    if quorum.has_voted(actor, approval):
        return False, False
    group = quorum.group_to_vote_for(actor, approval)
    if group is None:
        raise NotEligible(eligible=quorum.lacking(approval))
    return True, quorum.cast_vote(actor, approval, group, answer.note)


def _edit(approval: Approval, answer: Answer) -> None:
    """Whoever votes next is asked about the action as edited, under its own hash."""
    approval.context.setdefault("proposed_hash", approval.action_hash)
    approval.edited_action, approval.action_hash = answer.edited_action, answer.edited_hash
    approval.save(update_fields=["edited_action", "action_hash", "context"])


def _undo_window(actor: Actor, approval: Approval) -> timedelta:
    """How long a decision of a person can be undone before it takes effect."""
    if actor.kind == "system":
        return timedelta(0)
    return timedelta(seconds=team_setting(approval.team_id, "undo_window_seconds"))


def _remember(actor: Actor, approval: Approval, decision: Decision, answer: Answer) -> None:
    """Store what a person wants remembered: exactly this action name, on its host, for its end user, under their conditions."""
    if not answer.remember or not approval.can_remember or decision.verdict != "approve":
        return
    if decision.remembered or not approval.traits.runs_action or approval.action is None:
        return
    only_this_run = answer.remember == "run"
    if only_this_run and is_own(actor, approval) and not may_let_oneself(actor):
        return  # it would count nowhere
    days = team_setting(approval.team_id, "remember_days")
    policy, _ = policies.create(
        actor,
        tool=approval.action["name"],
        effect="allow",
        host=approval.action.get("host"),
        end_user=approval.context.get("end_user"),
        run_id=approval.run_id if only_this_run else None,
        expires_at=decision.at + timedelta(days=days) if days and not only_this_run else None,
        when=canonical(answer.remember_when or []),
        origin="remembered",
        origin_approval_id=approval.id,
    )
    decision.remembered, decision.policy_id = True, policy.id
    decision.save(update_fields=["remembered", "policy_id"])


def _effect(approval: Approval, answer: Answer) -> str:
    if answer.verdict == "reject":
        return answer.effect or approval.on_reject
    return "revise" if answer.verdict == "revise" else "proceed"


def _again(actor: Actor, approval: Approval, answer: Answer, fingerprint: str) -> Settled:
    """Classify a decision on a request that is no longer open."""
    decision = Decision.objects.filter(approval=approval, counts=True).first()
    if approval.status not in DECIDED or decision is None or decision.via == "timeout":
        raise_closed(approval)
    if decision.payload_hash != fingerprint or decision.verdict != answer.verdict:
        raise_closed(approval)
    if answer.note and not decision.note:
        decision.note = answer.note
        decision.save(update_fields=["note"])
    _remember(actor, approval, decision, answer)
    return Settled(decision, False)


def raise_closed(approval: Approval) -> NoReturn:
    """The refusal that a late call gets: what became of the request."""
    at = {"approval_id": approval.id, "resolved_at": rfc3339(approval.resolved_at or approval.expires_at)}
    if approval.status in ("pending", "expired"):
        raise ApprovalExpired(**at)
    if approval.status == "cancelled":
        raise ApprovalCancelled(**at)
    if approval.status == "void":
        raise ApprovalVoid(**at, replaced_by=approval.replaced_by)
    decision = Decision.objects.get(approval=approval, counts=True)
    if decision.via == "timeout":  # the clock came by first; whoever decides after it is no less late
        raise ApprovalExpired(**at)
    raise AlreadyDecided(
        approval_id=approval.id, verdict=decision.verdict, decided_by=decision.actor, decided_at=rfc3339(decision.at)
    )


def void(approval: Approval, reason: str, replaced_by: str) -> None:
    """What was approved is no longer what would happen: the approval is used up and another request takes its place."""
    move(approval, "void", timezone.now(), void_reason=reason, replaced_by=replaced_by)
    Decision.objects.filter(approval=approval, counts=True).update(outcome="not_executed", error=reason)


def record_loss(actor: Actor, approval: Approval, answer: Answer, via: str, code: str) -> None:
    """Keep a losing attempt for the audit; called after its transaction was rolled back."""
    Decision.objects.create(
        **_of(approval),
        counts=False,
        loss=code,
        verdict=answer.verdict[:16],
        effect="none",
        actor=actor.ref(),
        via=via,
        note=(answer.note or None),
        payload_hash="",
    )


def close_pending(run_id: str, to: str, via: str, actor: Actor, **only: str) -> list[Approval]:
    """Cancel or expire what is open on the run, with a decision by the system or who cancelled; `only`: of one kind."""
    now = timezone.now()
    rows = list(Approval.objects.filter(run_id=run_id, status="pending", **only).select_for_update().order_by("id"))
    for row in rows:
        close(row, to, via, actor, now)
    return rows


def close(row: Approval, to: str, via: str, actor: Actor, now: datetime, note: str | None = None) -> Decision:
    move(row, to, now)
    return Decision.objects.create(
        **_of(row), verdict=to, effect="none", actor=actor.ref(), via=via, note=note, payload_hash="", at=now
    )


def drop_effects(requests: QuerySet[Approval]) -> None:
    """What they are about ends before their decisions took effect: they have none, and nothing stays remembered."""
    for approval in requests.filter(effect_pending=True).select_for_update():
        approval.effect_pending, approval.effective_at = False, None
        approval.save(update_fields=["effect_pending", "effective_at"])
        decision = Decision.objects.get(approval=approval, counts=True)
        decision.outcome, decision.sealed = "not_executed", None
        decision.save(update_fields=["outcome", "sealed"])
        forget(system(approval.team_id, approval.test), decision)


def forget(actor: Actor, decision: Decision) -> None:
    """Take away what this decision had remembered."""
    if decision.policy_id is not None:
        policies.forget(actor, decision.policy_id, decision.approval_id)

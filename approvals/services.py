"""Opening and settling approval requests. Callers hold the locks of the root run and the run, in this order, before the
request's own; what a decision does to the run is theirs (runs/decisions.py, docs/adr/0002)."""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NoReturn

from django.utils import timezone

from accounts.access import team_setting
from accounts.actor import Actor
from approvals.answers import examples, reading
from approvals.deciders import quorum
from approvals.deciders.eligibility import is_own, require_decider, require_unclaimed
from approvals.errors import (
    ActionChanged,
    AlreadyDecided,
    AnswerRequired,
    ApprovalCancelled,
    ApprovalExpired,
    ApprovalVoid,
)
from approvals.kinds import DECIDED, KINDS, VERDICTS
from approvals.mail import reminders
from approvals.models import APPROVAL_MOVES, Approval, Decision
from approvals.policies import rules
from approvals.policies.allowances import may_let_oneself
from approvals.schemas import MAX_NOTE
from database.sealing import keyed_hash, seal
from database.sql import fetch_all, insert, prepared, save
from web.errors import Invalid, NotEligible
from web.times import rfc3339

MAX_ADD_CENTS = 10_000_000
_PENDING = "run_id = %(run)s AND status = 'pending' AND kind LIKE %(kind)s ORDER BY id FOR UPDATE"


@dataclass(frozen=True)
class Answer:
    """What somebody sends: a verdict with what belongs to it. `data_at` tells where in the body answers or values stand."""

    verdict: str
    note: str | None = None
    answers: dict[str, Any] | None = None
    values: dict[str, Any] | None = None
    edited_action: dict[str, Any] | None = None
    edited_hash: str | None = None  # of the action as edited
    remember: bool | str = False
    action_hash: str | None = None
    effect: str | None = None  # overrides on_reject (signal reject ends the run)
    lenient: bool = False  # unknown answer keys are context for the agent
    data_at: tuple[str, ...] | None = None

    def where(self, name: str) -> tuple[str, ...]:
        return self.data_at or ("body", name)


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


def open_request(**fields: Any) -> Approval:
    """A new pending request of the run; numbers it and sets its expiry from timeout_seconds."""
    now = timezone.now()
    seconds = fields.get("timeout_seconds")
    expires_at = now + timedelta(seconds=seconds) if seconds else None
    fields["questions"] = reading.tidy_questions(fields.get("questions") or [])
    fields.setdefault("on_reject", KINDS[fields["kind"]].on_reject)
    before = prepared("SELECT count(*) FROM approvals_approval WHERE run_id = %(run)s", {"run": fields["run_id"]})
    assert before is not None
    due = reminders.first_at(now, expires_at)
    return insert(Approval(**fields, seq=before[0] + 1, created_at=now, expires_at=expires_at, remind_at=due))


def settle(
    actor: Actor, approval: Approval, answer: Answer, via: str, *, entitled: bool = False, hands_back: bool = False
) -> Settled:
    """Decide the locked request, or find that it was decided so before. Raises a Refusal and changes nothing otherwise.

    `hands_back`: the actor gives back control that it holds: somebody else's claim is no reason to keep it.
    `entitled`: it took that control itself, which needs no right to decide.
    """
    answer = _sent_back(approval, answer)
    _check_fields(approval, answer)
    payload, redacted = _payload(approval, answer)
    fingerprint = keyed_hash(json.dumps([answer.verdict, _content(payload), answer.edited_action], sort_keys=True))
    now = timezone.now()
    if not entitled:
        require_decider(actor, approval, answer.verdict)
    if approval.status != "pending" or (via != "timeout" and approval.is_late(now)):
        return _again(actor, approval, answer, fingerprint)
    if not (entitled or hands_back):
        require_unclaimed(actor, approval)
    if answer.action_hash is not None and answer.action_hash != approval.action_hash:
        raise ActionChanged(action_hash=approval.action_hash)
    if VERDICTS[answer.verdict].approves and approval.quorum and actor.kind != "system":
        voted, complete = _vote(actor, approval, answer)
        if not complete:
            return Settled(None, voted)
    edited = answer.edited_action or approval.edited_action
    if edited and answer.verdict == "approve":
        payload, redacted = payload | {"edited_action": edited}, redacted | {"edited_action": edited}
    later = _undo_window(actor, approval)
    effective = approval.clock(now) + later
    move(
        approval, VERDICTS[answer.verdict].status, now, effective_at=effective, undo_until=effective if later else None,
        effect_pending=bool(later), edited_action=edited, claimed_by=None, claim_expires_at=None,
    )  # fmt: skip
    decision = Decision(
        **_of(approval), verdict=answer.verdict, effect=_effect(approval, answer), actor=actor.ref(), via=via,
        note=answer.note or None, answers=redacted.get("answers"), values=redacted.get("values"), payload_hash=fingerprint,
        action_before=approval.action, action_after=approval.action_now, at=now,
        sealed=seal([payload, redacted]) if later else None,
    )  # fmt: skip
    insert(decision)
    _remember(actor, approval, decision, answer.remember)
    return Settled(decision, True, payload, redacted)


def _of(approval: Approval) -> dict[str, Any]:
    """What every decision on the request, and every attempt at one, says of it."""
    return {"approval": approval, "team_id": approval.team_id, "test": approval.test}


def _sent_back(approval: Approval, answer: Answer) -> Answer:
    """A rejected plan is a revision, unless the rejection is to end the run."""
    if not approval.traits.takes_revision or answer.verdict != "reject" or answer.effect is not None:
        return answer
    return replace(answer, verdict="revise", note=(answer.note or "").strip() or "Rejected without a comment.")


def _vote(actor: Actor, approval: Approval, answer: Answer) -> tuple[bool, bool]:
    """Whether this approval counted as a new vote, and whether the quorum is complete with it.

    Raises NotEligible for who is in no lacking group.
    """
    if answer.edited_action is not None and answer.edited_action != approval.edited_action:
        approval.votes.all().delete()
        _edit(approval, answer)
    if quorum.has_voted(actor, approval):
        return False, False
    group = quorum.seat_of(actor, approval)
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


def _remember(actor: Actor, approval: Approval, decision: Decision, remember: bool | str) -> None:
    """Store what a person wants remembered: exactly this action name, on its host, for its end user."""
    wanted = remember and approval.traits.runs_action and decision.verdict == "approve" and approval.can_remember
    if not wanted or decision.remembered or approval.action is None:
        return
    only_this_run = remember == "run"
    if only_this_run and is_own(actor, approval) and not may_let_oneself(actor):
        return  # it would count nowhere
    days = team_setting(approval.team_id, "remember_days")
    policy, _ = rules.create(
        actor, tool=approval.action["name"], effect="allow", host=approval.action.get("host"),
        end_user=approval.context.get("end_user"), run_id=approval.run_id if only_this_run else None,
        expires_at=decision.at + timedelta(days=days) if days and not only_this_run else None, origin="remembered",
        origin_approval_id=approval.id,
    )  # fmt: skip
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
    _remember(actor, approval, decision, answer.remember)
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


def _check_fields(approval: Approval, answer: Answer) -> None:
    wrong, traits = [], approval.traits
    if answer.verdict not in traits.verdicts:
        allowed = ", ".join(traits.verdicts)
        raise Invalid((("body", "verdict"), f"A request of kind {approval.kind} takes {allowed}.", "value_error"))
    for name in ("answers", "values", "edited_action", "remember", "action_hash"):
        given = getattr(answer, name)
        if given not in (None, False) and name not in VERDICTS[answer.verdict].fields:
            wrong.append((("body", name), f"Does not fit the verdict {answer.verdict}.", "value_error"))
    if answer.verdict == "approve" and answer.values is not None and not traits.lifts_budget:
        wrong.append((("body", "values"), f"Does not fit a request of kind {approval.kind}.", "value_error"))
    if answer.edited_action is not None and not traits.runs_action:
        wrong.append((("body", "edited_action"), f"Does not fit a request of kind {approval.kind}.", "value_error"))
    if len(answer.note or "") > MAX_NOTE:
        wrong.append((("body", "note"), f"Must have at most {MAX_NOTE} characters.", "value_error"))
    if answer.verdict == "revise" and not (answer.note or "").strip():
        wrong.append((("body", "note"), "Say what should change.", "missing"))
    if wrong:
        raise Invalid(*wrong)


def _payload(approval: Approval, answer: Answer) -> tuple[dict[str, Any], dict[str, Any]]:
    """What reaches the agent, and the same as it may be written down."""
    note = {"reason" if answer.verdict == "reject" else "note": answer.note} if answer.note else {}
    if answer.verdict == "answer":
        where = answer.where("answers")
        found, context = reading.read_answers(approval.questions, answer.answers or {}, where, lenient=answer.lenient)
        shown = reading.redact_answers(approval.questions, found)
        extra = {"context": context} if context else {}
        return {"answers": found} | extra | note, {"answers": shown} | extra | note
    if answer.verdict == "submit":
        values = reading.read_values(approval.input_schema, answer.values or {}, answer.where("values"))
        return {"values": values} | note, {"values": reading.redact_values(approval.input_schema, values)} | note
    if answer.verdict == "revise":
        told = {"feedback": answer.note, "plan": (approval.plan or {}).get("text")}
        return told, told
    if answer.verdict == "approve" and approval.traits.lifts_budget:
        lifted = {"values": {"add_cents": _add_cents(approval, answer)}}
        return lifted | note, lifted | note
    return dict(note), dict(note)


def _add_cents(approval: Approval, answer: Answer) -> int:
    """By how much a budget is lifted; the default is the size of the limit that was hit. Raises Invalid."""
    given = dict(answer.values or {})
    suggested = (approval.budget or {}).get("suggested_add_cents", 1)
    cents = given.pop("add_cents", suggested)
    where = answer.where("values")
    wrong: list[tuple[tuple[str | int, ...], str, str]] = [
        ((*where, n), "Unknown value.", "extra_forbidden") for n in given
    ]
    if isinstance(cents, bool) or not isinstance(cents, int):
        wrong.append(((*where, "add_cents"), "Must be a whole number of cents.", "type_error"))
    elif not 1 <= cents <= MAX_ADD_CENTS:
        wrong.append(((*where, "add_cents"), f"Must be between 1 and {MAX_ADD_CENTS}.", "value_error"))
    if wrong:
        raise Invalid(*wrong)
    return int(cents)


def _content(payload: dict[str, Any]) -> dict[str, Any]:
    """What makes two decisions the same: everything but the words beside it."""
    return {k: v for k, v in payload.items() if k not in ("note", "reason", "plan")}


def default_answer(approval: Approval) -> Answer | None:
    """What on_timeout default_answer sends: recommended options or schema defaults; None where that is impossible."""
    if approval.traits.form == "questions":
        chosen = reading.recommended(approval.questions)
        return Answer("answer", answers=chosen) if chosen is not None else None
    if approval.traits.form == "values":
        try:
            reading.read_values(approval.input_schema, {}, ())
        except Invalid:
            return None
        return Answer("submit", values={})
    return None


def answer_by_note(approval: Approval, note: str | None) -> Answer:
    """How `resume` answers: one question takes the note, else every question its recommended option; an input its defaults.

    Raises AnswerRequired.
    """
    if approval.traits.form == "values":
        try:
            reading.read_values(approval.input_schema, {}, ())
        except Invalid as error:
            missing = ["/" + "/".join(str(p) for p in d["loc"]) for d in error.facts["details"]]
            example = {"answers": examples.of_schema(approval.input_schema)}
            raise AnswerRequired(missing, example, approval.run_id) from error
        return Answer("submit", values={}, note=note)
    if note and note.strip() and len(approval.questions) == 1:
        return _answer_of_note(approval.questions[0], note)
    chosen = reading.recommended(approval.questions)
    if chosen is None:
        lacking = [q["id"] for q in approval.questions if not any(o["recommended"] for o in q["options"])]
        example = {"answers": examples.of_questions(approval.questions)}
        raise AnswerRequired(lacking, example, approval.run_id)
    return Answer("answer", answers=chosen, note=note)


def _answer_of_note(question: dict[str, Any], note: str) -> Answer:
    """The note is the answer; it stays readable as the decision's note unless the question asks for a secret."""
    given = {question["id"]: note}
    try:
        reading.read_answers([question], given, ())
    except Invalid as error:
        raise Invalid(*((("body", "note"), d["msg"], d["type"]) for d in error.facts["details"])) from error
    return Answer("answer", answers=given, note=None if question["secret"] else note)


def record_loss(actor: Actor, approval: Approval, answer: Answer, via: str, code: str) -> None:
    """Keep a losing attempt for the audit; called after its transaction was rolled back."""
    Decision.objects.create(
        **_of(approval), counts=False, loss=code, verdict=answer.verdict[:16], effect="none", actor=actor.ref(), via=via,
        note=(answer.note or None), payload_hash="",
    )  # fmt: skip


def close_pending(run_id: str, to: str, via: str, actor: Actor, kind: str = "%") -> list[Approval]:
    """Cancel or expire what is open on the run (of one kind), with a decision by the system or who cancelled."""
    now = timezone.now()
    rows = fetch_all(Approval, _PENDING, {"run": run_id, "kind": kind})
    for row in rows:
        close(row, to, via, actor, now)
    return rows


def close(row: Approval, to: str, via: str, actor: Actor, now: datetime, note: str | None = None) -> Decision:
    move(row, to, now)
    return Decision.objects.create(
        **_of(row), verdict=to, effect="none", actor=actor.ref(), via=via, note=note, payload_hash="", at=now
    )

"""The approval card: everything a person needs to see of one request, and what of it they may do."""

from datetime import datetime, timedelta
from typing import Any

from django.http import QueryDict
from django.utils import timezone

from accounts.actor import Actor
from approvals.access import approvals_of, decision_of, find_approval
from approvals.answers.answer import Answer
from approvals.cards.forms import (
    PRESETS,
    edit_fields,
    problems_by_field,
    read_answers,
    read_edit,
    read_values,
    value_fields,
)
from approvals.cards.handling_panel import handling_panel
from approvals.cards.pictures import earlier_screen, pictures, screen
from approvals.cards.replaced import replaced
from approvals.deciders.eligibility import is_own, require_decider, require_unclaimed
from approvals.kinds import VERDICTS, Kind
from approvals.models import Approval, Decision
from approvals.policies.allowances import may_let_oneself
from approvals.policies.conditions import MOST as MOST_PINS
from approvals.policies.parameters import leaves, pin, pinned
from approvals.policies.sentences import in_full
from approvals.subjects import subject_of
from web.errors import Invalid, Refusal

TRY_AGAIN = "Try again"  # of a model that could not be asked
REJECT_EFFECTS = {
    "fail_run": "The run then ends as failed.",
    "skip_action": "The action is skipped and the agent goes on.",
    "continue": "The agent goes on without an answer.",
    "revise": "The agent then proposes another plan.",
    "fail_step": "The step of the workflow then fails.",
    "none": "The program that asks is told; what follows is up to it.",
}
REMEMBER: dict[str, bool | str] = {"run": "run", "always": True}
# What one key is too little for: why, in words.
TWICE = {"spend": "It spends money.", "access": "It changes who has access.", "destroy": "It destroys data."}
LONG = 1200  # characters: without scripts the buttons of what is longer stand below it
FRESH = timedelta(minutes=2)  # so long a page follows the receipt of a decision
TIMEOUT_EFFECTS = {
    "expire": "the program that asked is told so",
    "cancel": "the run was cancelled",
    "fail": "the run failed",
    "reject": "it counts as rejected",
    "default_answer": "the default answer was taken",
}


def card(
    actor: Actor, approval: Approval, back: str, refusal: Refusal | None = None, sent: QueryDict | None = None
) -> dict[str, Any]:
    """The card's template context. `refusal` and `sent`: the form comes back with what was wrong and what was typed."""
    decision, previous = decision_of(approval), _previous(actor, approval)
    late = _late_attempt(actor, approval, decision)
    now, is_open = timezone.now(), approval.is_open
    return {
        "approval": approval,
        "action": approval.action_now,
        "decision": decision,
        "is_open": is_open,
        "back": back,
        "actor": actor,
        "approve_word": _approve_word(approval),
        "twice": twice(approval),
        "is_long": is_long(approval),
        "reject_effect": REJECT_EFFECTS.get(approval.on_reject, ""),
        "timeout_effect": TIMEOUT_EFFECTS.get(approval.on_timeout, ""),
        "presets": PRESETS,
        "no_approve": _refusal(actor, approval, "approve") if is_open else "",
        "no_reject": _refusal(actor, approval, "reject") if is_open else "",
        "pictures": pictures(approval),
        "repeats": repeats(approval),
        "similar": _similar(actor, approval),
        "lost": VERDICTS[late.verdict].noun if late else "",
        "for_others": is_own(actor, approval) and not may_let_oneself(actor),
        "may_undo": _may_undo(actor, approval, decision, now),
        "pins": _pins(approval, sent),
        "problems": problems_by_field(refusal) if refusal else {},
        "sent": sent,
        "handling": handling_panel(actor, approval),
        "previous": previous,
        "replaced": replaced(previous, approval),
        "before": _before(previous),
        "earlier_screen": earlier_screen(approval),
        "unfinished": _unfinished(approval, decision, now),
        "subject": subject_of(approval).card(actor, approval),
        **_form(approval, refusal, sent),
    }


def _approve_word(approval: Approval) -> str:
    return TRY_AGAIN if not approval.evidence.keys().isdisjoint(("model", "machine")) else approval.traits.approve_word


def _refusal(actor: Actor, approval: Approval, verdict: str) -> str:
    try:
        require_decider(actor, approval, verdict)
        require_unclaimed(actor, approval)
    except Refusal as refusal:
        return refusal.message
    return ""


def _may_undo(actor: Actor, approval: Approval, decision: Decision | None, now: datetime) -> bool:
    """Who decided, or an admin, while the decision has not taken effect yet."""
    if decision is None or approval.status == "pending":
        return False
    if not approval.undo_until or approval.undo_until <= approval.clock(now):
        return False
    return actor.may("approvals:decide") and (actor.is_admin or decision.actor.get("id") == actor.id)


def _previous(actor: Actor, approval: Approval) -> Approval | None:
    """The approved request that this one replaces."""
    if not approval.previous_approval_id:
        return None
    return approvals_of(actor).filter(id=approval.previous_approval_id).first()


def _before(previous: Approval | None) -> dict[str, Any] | None:
    """The screen as it was approved, where that is why people are asked again."""
    return screen(previous) if previous is not None and previous.void_reason == "screen_changed" else None


def _unfinished(approval: Approval, decision: Decision | None, now: datetime) -> bool:
    """Will the receipt of this fresh decision still go on: delivered, started, executed?"""
    if approval.of_program:
        return (
            approval.status in ("approved", "answered")
            and "result" not in approval.context
            and _is_fresh(decision, now)
        )
    if decision is None or decision.effect in ("none", "fail_run", "fail_step") or not _is_fresh(decision, now):
        return False
    return decision.delivered_at is None or (approval.traits.runs_action and decision.outcome is None)


def _is_fresh(decision: Decision | None, now: datetime) -> bool:
    return decision is not None and now - decision.at <= FRESH


def repeats(approval: Approval) -> bool:
    """Do the agent's words only say what its questions, shown below in full, say?"""
    questions = " ".join(dict.fromkeys(str(q["question"]) for q in approval.questions))
    return bool(questions) and (approval.agent_message or "").strip() == questions


def _form(approval: Approval, refusal: Refusal | None, sent: QueryDict | None) -> dict[str, Any]:
    problems = problems_by_field(refusal) if refusal else {}
    form = approval.traits.form
    if form == "values":
        return {"fields": value_fields(approval.input_schema, sent, problems)}
    if form == "edits":
        return {"edits": edit_fields(approval, sent, problems)}
    if form == "questions":
        return {"questions": [_question(question, problems, sent) for question in approval.questions]}
    return {}


def _question(question: dict[str, Any], problems: dict[str, list[str]], sent: QueryDict | None) -> dict[str, Any]:
    chosen = sent.getlist(f"q.{question['id']}") if sent else []
    own = sent.get(f"own.{question['id']}", "") if sent and not question["secret"] else ""
    return question | {"chosen": chosen, "own": own, "errors": problems.get(question["id"], [])}


def twice(approval: Approval) -> str:
    """Why one key must not approve it; "" when it may."""
    action = approval.action_now or {}
    hard = "It is hard to undo." if action.get("class") == "irreversible" else ""
    return TWICE.get(str(action.get("risk")), hard)


def is_long(approval: Approval) -> bool:
    """Is there more to read than a screen shows beside the buttons?"""
    texts = [approval.words, approval.title, str((approval.plan or {}).get("text", ""))]
    texts += [str(value) for value in ((approval.action_now or {}).get("params") or {}).values()]
    texts += [f"{q['question']}{q['options']}" for q in approval.questions]
    texts += [check["message"] for check in approval.evidence.get("checks", ())]
    return sum(len(text) + 60 * text.count("\n") for text in texts) > LONG


def _similar(actor: Actor, approval: Approval) -> list[Decision]:
    """The last three decisions on the same action; none for other kinds, whose words differ each time."""
    if not approval.traits.runs_action or not approval.action:
        return []
    rows = Decision.objects.filter(
        counts=True,
        approval__in=approvals_of(actor).filter(
            kind=Kind.TOOL,
            action__name=approval.action["name"],
            external_request__isnull=not approval.of_program,
        ),
    )
    return list(rows.exclude(approval_id=approval.id).select_related("approval").order_by("-at")[:3])


def _late_attempt(actor: Actor, approval: Approval, decision: Decision | None) -> Decision | None:
    """This person's own decision, if it came after the one that counts."""
    if decision is None or decision.actor.get("id") == actor.id:
        return None
    return Decision.objects.filter(approval=approval, counts=False, actor__id=actor.id).order_by("-at").first()


def receipt(actor: Actor, approval_id: str | None, back: str) -> dict[str, Any] | None:
    """The card of the request that was decided just now, which stays at the top of the page; None of one that is open."""
    approval = find_approval(actor, approval_id)
    return card(actor, approval, back) if approval is not None and approval.status != "pending" else None


def answer_sent(actor: Actor, approval: Approval, sent: QueryDict) -> Answer:
    """The decision as the card's form sent it; whether it fits is for the decision function to say. Raises Invalid."""
    verdict = sent.get("verdict", "")
    answer = Answer(
        verdict=verdict,
        note=reason_sent(sent),
        answers=read_answers(approval, sent) if verdict == "answer" else None,
        remember=REMEMBER.get(sent.get("remember", ""), False) if verdict == "approve" else False,
        values=read_values(approval.input_schema, sent) if verdict == "submit" else None,
        edited_action=read_edit(approval, sent) if verdict == "approve" else None,
        remember_when=_pinned(approval, sent) if verdict == "approve" and sent.get("remember") else None,
        action_hash=sent.get("action_hash") or None,
    )
    _require_reason(actor, approval, answer)
    return answer


def _pinned(approval: Approval, sent: QueryDict) -> list[dict[str, Any]] | None:
    """What is remembered holds only as long as these parameters stay as they are approved."""
    action = read_edit(approval, sent) or approval.action_now or {}
    return pinned(action.get("params"), sent.getlist("pin")[: MOST_PINS + 1]) or None


def _pins(approval: Approval, sent: QueryDict | None) -> list[dict[str, Any]]:
    """The parameters of the action that can be pinned when it is remembered, in words."""
    if not (approval.is_open and approval.can_remember and approval.traits.runs_action):
        return []
    chosen = sent.getlist("pin") if sent is not None else []
    params = leaves((approval.action_now or {}).get("params"))[:MOST_PINS]
    return [{"path": path, "words": in_full([pin(path, value)])[0], "chosen": path in chosen} for path, value in params]


def _require_reason(actor: Actor, approval: Approval, answer: Answer) -> None:
    """Who says that hands are not needed any more, without having had control, says why."""
    is_done = approval.traits.hands_over and approval.status == "pending" and answer.verdict == "approve"
    if not is_done or (answer.note or "").strip():
        return
    if subject_of(approval).card(actor, approval).control in ("free", "none"):
        raise Invalid((("body", "note"), "Say how you know that it is done: the agent goes on with it.", "missing"))


def reason_sent(sent: QueryDict) -> str | None:
    """The chosen usual reason and the typed words, as one."""
    return ". ".join(part for part in (sent.get("preset", "").strip(), sent.get("note", "").strip()) if part) or None

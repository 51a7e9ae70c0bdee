"""Decisions and what they do to a run: the one function behind every endpoint and page (docs/adr/0002).

Locks, always in this order: root run, run, request. The loser of a race is classified after the winner's commit.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone
from django_q.tasks import async_task

from accounts.actor import Actor, system
from approvals import services as approvals
from approvals import undo as undo_window
from approvals.access import approvals_of, get_approval, locked_approval, open_below
from approvals.answers.answer import Answer
from approvals.answers.defaults import default_answer
from approvals.errors import ApprovalExpired, ApprovalNotFound
from approvals.mail import outbox
from approvals.models import Approval, Decision
from approvals.services import Settled
from database.messages import publish
from database.sealing import seal, unseal
from machines.actions.canonical import ActionError, Screen, action_hash, canonical
from runs import control, webhooks
from runs.access import UNSETTLED, wanting_money
from runs.driving import inbox
from runs.errors import AmbiguousTarget, NotAwaitingHuman, ResumeConflict, run_error
from runs.log import Event, record, wake_workers
from runs.models import Run
from runs.secrets.services import sealed_with, secret_values
from runs.services import closed_event, end_wait, fail, finish, follow, lock_run, move
from web.errors import Invalid, Refusal
from web.times import rfc3339

MAX_BUDGET_CENTS = 2**31 - 1  # what the column holds
LOST = frozenset({"ALREADY_DECIDED", "APPROVAL_EXPIRED", "APPROVAL_CANCELLED", "APPROVAL_VOID", "APPROVAL_CLAIMED"})


@dataclass(frozen=True)
class DecisionResult:
    """What is true after the commit. `resumed`: the run goes on through this decision."""

    approval: Approval
    decision: Decision | None  # None: a vote that does not complete the quorum
    run: Run
    resumed: bool


def decide(
    actor: Actor, seen: Approval, answer: Answer | Callable[[Approval], Answer], via: str = "api"
) -> DecisionResult:
    """Decide the request that the actor was shown. A callable composes the answer once the request is locked.

    Raises Invalid, AnswerRequired, NotEligible, SelfApprovalForbidden, AlreadyDecided, ApprovalExpired, ApprovalCancelled,
    ApprovalVoid, ApprovalClaimed, ActionChanged.
    """
    return _attempt(actor, seen.run_id, seen.root_run_id, lambda run: seen.id, answer, via)


def decide_for_run(
    actor: Actor, run_id: str, approval_id: str | None, answer: Callable[[Approval], Answer], via: str = "api",
    terminal: type[Refusal] = NotAwaitingHuman, kinds: frozenset[str] = frozenset(),
) -> DecisionResult:  # fmt: skip
    """Decide the request of a run: the named one, or the one that is open at the call's turn.

    With `kinds` it is the oldest open one of these, if there is any.
    Raises as decide(), and ApprovalNotFound, AmbiguousTarget, NotAwaitingHuman, ResumeConflict (`terminal` for an ended run).
    """
    if approval_id:
        named = (
            approvals_of(actor)
            .filter(id=approval_id, root_run_id=Run.objects.values("root_id").filter(id=run_id)[:1])
            .first()
        )
        if named is None or run_id not in (named.run_id, named.root_run_id):
            raise ApprovalNotFound
        return decide(actor, named, answer, via)
    return _attempt(actor, run_id, None, lambda run: _the_open_one(run, terminal, kinds), answer, via)


def _the_open_one(run: Run, terminal: type[Refusal], kinds: frozenset[str]) -> str:
    """The id of the one open request. Raises AmbiguousTarget, NotAwaitingHuman or `terminal`."""
    rows = open_below(run.root_id)
    pending = [(found, kind) for found, of, kind in rows if run.parent_id is None or of == run.id]
    oldest = next((found for found, kind in pending if kind in kinds), None)
    if oldest is not None:
        return oldest
    if len(pending) > 1:
        raise AmbiguousTarget(open=[found for found, _ in pending])
    if not pending:
        raise _nothing_open(run, terminal)
    return pending[0][0]


def _nothing_open(run: Run, terminal: type[Refusal]) -> Refusal:
    facts: dict[str, Any] = {"current_state": run.status, "allowed_from": ["awaiting_human"]}
    if run.is_terminal and terminal is ResumeConflict:
        asked = {"approval__run_id" if run.parent_id else "approval__root_run_id": run.id}
        last = Decision.objects.filter(**asked, counts=True).order_by("-at").first()
        return ResumeConflict(**facts, last_decision=last.id if last else None)
    return NotAwaitingHuman(**facts)


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
def _attempt(
    actor: Actor, run_id: str, root_id: str | None, find: Callable[[Run], str],
    answer: Answer | Callable[[Approval], Answer], via: str,
) -> DecisionResult:  # fmt: skip
    """Lock, decide, take effect. An attempt that comes too late is kept for the audit, after its transaction is undone."""
    tried: list[tuple[Approval, Answer]] = []
    try:
        with transaction.atomic():
            run = lock_run(run_id, root_id)
            approval = locked_approval(find(run))
            made = checked_edit(approval, answer if isinstance(answer, Answer) else answer(approval))
            tried.append((approval, made))
            target = run if run.id == approval.run_id else lock_run(approval.run_id)
            if target.status == "cancelled":
                made = replace(made, remember=False)
            hands_back = _hand_over(actor, target, approval, made)
            settled = approvals.settle(actor, approval, made, via, hands_back=hands_back)
            if settled.decision is None and settled.fresh:
                record(target, approval_event(approval, "vote", actor, note=made.note))
            elif settled.fresh:
                _follow_up(actor, target, approval, settled)
            return DecisionResult(approval, settled.decision, target, _resumes(settled, approval, target))
    except Refusal as refusal:
        if refusal.code in LOST and tried:
            refusal.afterwards = partial(approvals.record_loss, actor, *tried[0], via, refusal.code)
        raise


def _follow_up(actor: Actor, run: Run, approval: Approval, settled: Settled) -> None:
    """A fresh decision takes effect now, or after the undo window: then the run still waits and says until when."""
    if approval.effect_pending:
        run.resume_at = approval.effective_at
        record(run, approval_event(approval, "decided", actor), save=("resume_at",))
    else:
        take_effect(run, approval, settled)
    webhooks.decided(run, approval)


def approval_event(approval: Approval, change: str, actor: Actor, **more: Any) -> Event:
    """The `approval` event of a change that does not decide, or not yet; `more` tells the rest of it, if there is one."""
    told = {"approval_id": approval.id, "change": change, "by": actor.ref(), "at": rfc3339(timezone.now())}
    return "approval", told | {name: value for name, value in more.items() if value}


def _resumes(settled: Settled, approval: Approval, run: Run) -> bool:
    """Does the run go on through this decision? A repeated call is told what the first one was told."""
    if settled.decision is None or approval.effect_pending or approval.effective_at is None:
        return False
    return settled.decision.effect != "fail_run" and (not settled.fresh or run.status == "running")


def checked_edit(approval: Approval, answer: Answer) -> Answer:
    """The answer with its edited action in canonical form. Raises Invalid: the name must stay, the parameters must fit."""
    if answer.edited_action is None or approval.action is None:
        return answer
    at = ("body", "edited_action")
    edited = answer.edited_action
    if set(edited) - {"name", "params"} or not isinstance(edited.get("params", {}), dict):
        raise Invalid((at, "Must be {name, params}.", "value_error"))
    if edited.get("name", approval.action["name"]) != approval.action["name"]:
        raise Invalid(((*at, "name"), f"Must stay {approval.action['name']}.", "value_error"))
    screen = Screen(approval.context.get("width") or 1280, approval.context.get("height") or 800)
    try:
        name, params = canonical(approval.action["name"], edited.get("params"), screen)
    except ActionError as error:
        raise Invalid(*(((*at, "params", v.field), v.message, v.type) for v in error.violations)) from error
    digest = action_hash(approval.action["machine_id"] or "", name, params)
    return replace(answer, edited_action={"name": name, "params": params}, edited_hash=digest)


def take_effect(run: Run, approval: Approval, settled: Settled) -> None:
    """What a decision does to its run; the caller holds the locks of both."""
    decision = settled.decision
    assert decision is not None
    resumed = _resumed(approval, decision)
    if run.is_terminal:
        return
    if run.stopped_at or (run.controlled_by and approval.kind != "takeover"):
        _put_off(run, approval, settled)
        return
    if run.kind == "workflow" and decision.effect != "fail_run":
        (_lift_for_tasks if approval.kind == "budget" else _answer_step)(run, approval, settled, resumed)
        return
    now = timezone.now()
    if decision.effect == "revise" and approval.plan and approval.plan["revision"] >= approval.plan["max_revisions"]:
        words = f"The plan was sent back {approval.plan['max_revisions']} times."
        fail(run, "PLAN_REVISION_LIMIT", words, before=(("resumed", resumed),), fatal=True)
        webhooks.resumed(run, approval)
        return
    if decision.effect == "fail_run":
        _fail(run, approval, decision, resumed)
        webhooks.resumed(run, approval)
        return
    move(
        run, "running", before=(("resumed", resumed),), **end_wait(run, now), **inbox.decided(run, approval, settled),
        **_lift_budget(run, approval, settled), **_judge_plan(run, approval, decision), **_kept(run, settled),
    )  # fmt: skip
    webhooks.resumed(run, approval)
    wake_workers(run.id)
    async_task("runs.tasks.drive", run.id)


def _resumed(approval: Approval, decision: Decision) -> dict[str, Any]:
    return {
        "approved": decision.verdict in ("approve", "answer", "submit"), "verdict": decision.verdict, "note": decision.note,
        "approval_id": approval.id, "decided_by": decision.actor, "effect": decision.effect,
    }  # fmt: skip


def _kept(run: Run, settled: Settled, prefix: str = "") -> dict[str, Any]:
    """The field of a run that keeps what was given to it in confidence."""
    given: dict[str, str] = {}
    for part in ("values", "answers"):
        given |= secret_values(settled.payload.get(part), settled.redacted.get(part))
    return {"secrets": sealed_with(run, {prefix + path: text for path, text in given.items()})} if given else {}


def _answer_step(run: Run, approval: Approval, settled: Settled, resumed: dict[str, Any]) -> None:
    """A step of the workflow was waiting: the workflow goes on with the decision. Its secrets are kept for later tasks."""
    kept = _kept(run, settled, f"{approval.id}:")
    move(run, "running", before=(("resumed", resumed),), **end_wait(run, timezone.now()), awaiting_step_id=None, **kept)
    webhooks.resumed(run, approval)
    publish("request.decided", approval.id)


def _lift_for_tasks(run: Run, approval: Approval, settled: Settled, resumed: dict[str, Any]) -> None:
    """The tasks that had reached the limit go on; they wait for nothing of their own."""
    for name, value in _lift_budget(run, approval, settled).items():
        setattr(run, name, value)
    run.save(update_fields=["budget_cents"])
    tasks = list(wanting_money(run).filter(controlled_by__isnull=True).select_for_update().order_by("id"))
    if not tasks:  # they ended meanwhile, or people control their machines
        follow(run, None, ("resumed", resumed))
    for number, task in enumerate(tasks):  # the first one tells the workflow run
        _spend(task, resumed, quietly=number > 0)
    run.refresh_from_db()
    webhooks.resumed(run, approval)


def _spend(task: Run, resumed: dict[str, Any], *, quietly: bool) -> None:
    """The task goes on with the money that it waited for."""
    move(task, "running", before=(("resumed", resumed),), quietly=quietly, **end_wait(task, timezone.now()))
    wake_workers(task.id)
    async_task("runs.tasks.drive", task.id)


def _fail(run: Run, approval: Approval, decision: Decision, resumed: dict[str, Any]) -> None:
    """The rejection ends the run. Only a budget is a guard, whose end a fatal `error` event announces."""
    reason = decision.note or "Rejected by a person."
    if approval.kind != "budget":
        fail(run, "REJECTED", reason, before=(("resumed", resumed),))
        return
    budget = approval.budget or {}
    details = {
        "guard": "budget_cents",
        "scope": budget["scope"],
        "limit": budget["limit_cents"],
        "used": budget["used_cents"],
    }
    before = (("resumed", resumed),)
    fail(run, "GUARD_EXCEEDED", reason, reason_code="budget_cents", details=details, before=before, fatal=True)


def _judge_plan(run: Run, approval: Approval, decision: Decision) -> dict[str, Any]:
    """An approved plan lets the run act; a revised one is proposed anew."""
    if approval.kind != "plan" or run.plan is None:
        return {}
    return {"plan": run.plan | {"approved": decision.verdict == "approve"}}


def _lift_budget(run: Run, approval: Approval, settled: Settled) -> dict[str, Any]:
    """What an approved budget changes on the run. Limits of others stay as they are: jobs.load() reads what was added."""
    if approval.kind != "budget" or (approval.budget or {}).get("scope") != "run":
        return {}
    return {"budget_cents": min(run.budget_cents + settled.payload["values"]["add_cents"], MAX_BUDGET_CENTS)}


# --- the undo window


def undo(actor: Actor, approval_id: str) -> Approval:
    """Take back a decision that has not taken effect. Raises ApprovalNotFound, UndoNotPossible, NotEligible."""
    seen = get_approval(actor, approval_id)
    with transaction.atomic():
        run = lock_run(seen.run_id)
        approval = locked_approval(seen.id)
        undo_window.undo(actor, approval)
        run.resume_at = None
        record(run, approval_event(approval, "undone", actor), save=("resume_at",))
        webhooks.decided(run, approval, "undone")
        outbox.opened(approval, again=True)
        return approval


def make_effective(approval_id: str) -> bool:
    """The undo window is over: the decision takes effect. False when its turn has passed."""
    seen = Approval.objects.filter(id=approval_id).first()
    if seen is None:
        return False
    with transaction.atomic():
        run = lock_run(seen.run_id)
        approval = locked_approval(approval_id)
        if not approval.effect_pending or approval.effective_at is None or run.stopped_at:
            return False
        if approval.effective_at > timezone.now():
            return False
        _take_late_effect(run, approval)
        return True


def _take_late_effect(run: Run, approval: Approval) -> None:
    decision = Decision.objects.get(approval=approval, counts=True)
    payload, redacted = unseal(decision.sealed) if decision.sealed else ({}, {})
    approval.effect_pending, approval.effective_at = False, approval.effective_at or timezone.now()
    approval.save(update_fields=["effect_pending", "effective_at"])
    Decision.objects.filter(id=decision.id).update(sealed=None)
    take_effect(run, approval, Settled(decision, True, payload, redacted))


# --- while a person controls the machine


def settle_locked(
    actor: Actor, run: Run, approval: Approval, answer: Answer, via: str, *, entitled: bool = False
) -> None:
    """Decide a request whose locks the caller holds, by giving control back."""
    settled = approvals.settle(actor, approval, answer, via, entitled=entitled, hands_back=True)
    _follow_up(actor, run, approval, settled)


def after_takeover(run: Run) -> None:
    """Control was given back, or a stop lifted: what was decided meanwhile takes effect. The caller holds the run's lock."""
    waiting = Approval.objects.select_for_update().filter(run_id=run.id, effect_pending=True, effective_at__isnull=True)
    for approval in waiting:
        _take_late_effect(run, approval)
    _spend_late(run)


def _spend_late(run: Run) -> None:
    """A task whose budget was lifted while a person controlled its machine."""
    if run.parent_id is None or not wanting_money(Run(id=run.parent_id)).filter(id=run.id).exists():
        return
    budgets = Approval.objects.filter(run_id=run.parent_id, kind="budget")
    lifted = budgets.filter(status="approved").order_by("-effective_at").first()
    if lifted is not None and not budgets.filter(UNSETTLED).exists():
        decision = Decision.objects.get(approval=lifted, counts=True)
        _spend(run, _resumed(lifted, decision), quietly=True)


def _hand_over(actor: Actor, run: Run, approval: Approval, answer: Answer) -> bool:
    """Who approves a takeover request gives the machine back: True. Raises MachineInTakeover for anyone but its holder."""
    if approval.kind != "takeover" or approval.status != "pending" or answer.verdict != "approve":
        return False
    lease = control.require_controller(actor, run)
    if lease is not None:
        control.lift(run, lease, "released", answer.note)
    return lease is not None


def _put_off(run: Run, approval: Approval, settled: Settled) -> None:
    """The decision waits until the machine is given back, or the stop is lifted."""
    decision = settled.decision
    assert decision is not None
    approval.effect_pending, approval.effective_at = True, None
    approval.save(update_fields=["effect_pending", "effective_at"])
    told = decision.sealed is not None  # by the undo window
    decision.sealed = seal([settled.payload, settled.redacted])
    decision.save(update_fields=["sealed"])
    run.resume_at = None
    change = {"approval_id": approval.id, "change": "decided", "by": decision.actor, "at": rfc3339(decision.at)}
    record(run, *(() if told else (("approval", change),)), save=("resume_at",))


# --- silence


def expire(approval_id: str) -> bool:
    """Nobody answered in time: do what the request's on_timeout says. False when its turn has passed."""
    seen = Approval.objects.filter(id=approval_id).first()
    if seen is None:
        return False
    with transaction.atomic():
        run = lock_run(seen.run_id)
        approval = locked_approval(approval_id)
        now = timezone.now()
        if approval.status != "pending" or not approval.is_late(now) or run.stopped_at:
            return False
        _expire_locked(run, approval)
        return True


def _expire_locked(run: Run, approval: Approval) -> None:
    actor = system(run.team_id, run.test)
    if approval.on_timeout in ("cancel", "fail"):
        approvals.close(approval, "expired", "timeout", actor, timezone.now(), note="No answer in time.")
        _end_unanswered(
            run, closed_event(approval, actor), "cancelled" if approval.on_timeout == "cancel" else "failed"
        )
        webhooks.expired(run, approval)
        return
    by_default = default_answer(approval) if approval.on_timeout == "default_answer" else None
    answer = by_default or Answer("reject", note="No answer in time.")
    take_effect(run, approval, approvals.settle(actor, approval, answer, "timeout"))
    webhooks.decided(run, approval)


def _end_unanswered(run: Run, closed: Event, status: str) -> None:
    """Silence ends the root run, and all below it; each log says what became of its own request."""
    if run.parent_id:
        record(run, closed)
    root = run if run.parent_id is None else Run.objects.get(id=run.parent_id)
    finish(root, status, error=run_error("SIGNAL_TIMEOUT"), before=() if run.parent_id else (closed,))

"""A run as the subject of requests: what a decision does to it (approvals/subjects.py is the port, docs/adr/0002).

Locks, always in this order: root run, run, request.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django_q.tasks import async_task

from accounts.actor import Actor
from approvals import deciding
from approvals.action_hash import action_hash
from approvals.answers.answer import Answer
from approvals.kinds import VERDICTS
from approvals.models import Approval, Decision
from approvals.services import Settled
from approvals.subjects import Accepted, CardFacts, Change, Picture
from database.messages import publish
from database.sql import prepared_all
from machines import pictures
from machines.actions.canonical import ActionError, Screen, canonical
from runs import control, sql, webhooks
from runs.access import UNSETTLED, run_of, screen_text, wanting_money
from runs.driving import inbox
from runs.errors import run_error
from runs.log import Event, record, wake_workers
from runs.models import Run, Screenshot
from runs.secrets.services import sealed_with, secret_values
from runs.services import end_wait, fail, finish, follow, lock_run, move
from web.errors import Invalid

MAX_BUDGET_CENTS = 2**31 - 1  # what the column holds


class RunSubject:
    """Agent and workflow runs, as approvals.subjects.Subject."""

    def lock(self, approval: Approval) -> "LockedRun":
        return locked_run(approval)

    def card(self, actor: Actor, approval: Approval) -> CardFacts:
        holder = control.controlled_for(actor, approval) if approval.traits.hands_over else {"state": "", "holder": ""}
        return CardFacts(
            url=self.page_url(str(approval.run_id)),
            root_url=self.page_url(str(approval.root_run_id)),
            screen_url=reverse("run-screen", args=[approval.run_id]),
            control_url=reverse("run-control", args=[approval.run_id]),
            control=holder["state"],
            controller=holder["holder"],
            screen_text=lambda: screen_text(str(approval.run_id), approval.evidence.get("screenshot_index")) or "",
        )

    def page_url(self, subject_id: str) -> str:
        return reverse("run", args=[subject_id])

    def picture(self, approval: Approval, index: int) -> Picture | None:
        """The screen as it was when the request was opened."""
        if index != approval.evidence.get("screenshot_index"):
            return None
        screen = Screenshot.objects.filter(run_id=approval.run_id, index=index).first()
        try:
            return Picture(pictures.read(screen.sha256), "image/png") if screen else None
        except FileNotFoundError:
            return None

    def picture_url(self, approval: Approval, index: int) -> str:
        return reverse("run-picture", args=[approval.run_id, index])

    def held_up(self, approval_ids: Collection[str]) -> list[tuple[str, str]]:
        rows = prepared_all(sql.HELD_UP, {"ids": list(approval_ids)})
        return [(approval_id, root_id) for approval_id, root_id in rows]

    def ended(self, team_id: str, test: bool, since: datetime, until: datetime) -> int:
        ended = Run.objects.filter(finished_at__gte=since, finished_at__lt=until)
        return ended.filter(team_id=team_id, test=test, parent=None).count()


@dataclass(frozen=True)
class LockedRun:
    """A run, locked after its root, as approvals.subjects.Locked."""

    run: Run

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def status(self) -> str:
        return self.run.status

    @property
    def requests(self) -> QuerySet[Approval]:
        return Approval.objects.filter(run_id=self.run.id)

    @property
    def is_stopped(self) -> bool:
        return self.run.stopped_at is not None

    @property
    def goes_on(self) -> bool:
        return self.run.status == "running"

    def accept(self, actor: Actor, approval: Approval, answer: Answer) -> Accepted:
        """Raises Invalid, and MachineInTakeover for anyone but the holder of the machine that a takeover request is about."""
        answer = _checked_edit(approval, answer)
        if self.run.status == "cancelled":
            answer = replace(answer, remember=False, remember_when=None)
        return Accepted(answer, _hand_over(actor, self.run, approval, answer))

    def record(self, *changes: Change) -> None:
        if not self.run.is_terminal:
            record(self.run, *(("approval", change) for change in changes))

    def put_off(self, until: datetime | None, *changes: Change) -> None:
        self.run.resume_at = until
        record(self.run, *(("approval", change) for change in changes), save=("resume_at",))

    def take_effect(self, approval: Approval, settled: Settled) -> bool:
        if self.run.is_terminal:
            return True
        if self.run.stopped_at or (self.run.controlled_by and not approval.traits.hands_over):
            return False
        _take_effect(self.run, approval, settled)
        return True

    def end_unanswered(self, approval: Approval, change: Change) -> None:
        """Silence ends the root run, and all below it; each log says what became of its own request."""
        event = ("approval", change)
        status = "cancelled" if approval.on_timeout == "cancel" else "failed"
        if self.run.parent_id is None:
            finish(self.run, status, error=run_error("SIGNAL_TIMEOUT"), before=(event,))
            return
        record(self.run, event)
        finish(run_of(self.run.parent_id), status, error=run_error("SIGNAL_TIMEOUT"))

    def announce(self, approval: Approval, change: str) -> None:
        if change == "expired":
            webhooks.expired(self.run, approval)
        else:
            webhooks.decided(self.run, approval, change)


def locked_run(approval: Approval) -> LockedRun:
    """The run that the request is about; for requests of runs only. The caller is inside atomic()."""
    assert approval.run_id is not None
    return LockedRun(lock_run(approval.run_id, approval.root_run_id))


def _checked_edit(approval: Approval, answer: Answer) -> Answer:
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


def _hand_over(actor: Actor, run: Run, approval: Approval, answer: Answer) -> bool:
    """Who approves a takeover request gives the machine back: True. Raises MachineInTakeover for anyone but its holder."""
    if not approval.traits.hands_over or approval.status != "pending" or answer.verdict != "approve":
        return False
    lease = control.require_controller(actor, run)
    if lease is not None:
        control.give_back(run, lease, answer.note)
    return lease is not None


def _take_effect(run: Run, approval: Approval, settled: Settled) -> None:
    decision = settled.decision
    assert decision is not None
    resumed = _resumed(approval, decision)
    if run.kind == "workflow" and decision.effect != "fail_run":
        (_lift_for_tasks if approval.traits.lifts_budget else _answer_step)(run, approval, settled, resumed)
    elif decision.effect == "fail_run":
        _fail(run, approval, decision, resumed)
    elif decision.effect == "revise" and approval.plan and approval.plan["revision"] >= approval.plan["max_revisions"]:
        message = f"The plan was sent back {approval.plan['max_revisions']} times."
        fail(run, "PLAN_REVISION_LIMIT", message, before=(resumed,), fatal=True)
    else:
        _go_on(run, approval, settled, resumed)
    webhooks.resumed(run, approval)


def _resumed(approval: Approval, decision: Decision) -> Event:
    return "resumed", {
        "approved": VERDICTS[decision.verdict].approves,
        "verdict": decision.verdict,
        "note": decision.note,
        "approval_id": approval.id,
        "decided_by": decision.actor,
        "effect": decision.effect,
    }


def _go_on(run: Run, approval: Approval, settled: Settled, resumed: Event) -> None:
    """The agent reads the decision in its inbox, before its next step."""
    fields = end_wait(run, timezone.now()) | inbox.decided(run, approval, settled)
    fields |= _lift_budget(run, approval, settled) | _judge_plan(run, approval, settled) | _kept(run, settled)
    move(run, "running", before=(resumed,), **fields)
    _drive(run)


def _drive(run: Run) -> None:
    wake_workers(run.id)
    async_task("runs.tasks.drive", run.id)


def _answer_step(run: Run, approval: Approval, settled: Settled, resumed: Event) -> None:
    """A step of the workflow was waiting: the workflow goes on with the decision. Its secrets are kept for later tasks."""
    kept = _kept(run, settled, f"{approval.id}:")
    move(run, "running", before=(resumed,), **end_wait(run, timezone.now()), awaiting_step_id=None, **kept)
    publish("request.decided", approval.id)


def _kept(run: Run, settled: Settled, prefix: str = "") -> dict[str, Any]:
    """The field of a run that keeps what was given to it in confidence."""
    secrets: dict[str, str] = {}
    for part in ("values", "answers"):
        secrets |= secret_values(settled.payload.get(part), settled.redacted.get(part))
    return {"secrets": sealed_with(run, {prefix + path: text for path, text in secrets.items()})} if secrets else {}


def _lift_for_tasks(run: Run, approval: Approval, settled: Settled, resumed: Event) -> None:
    """The tasks that had reached the limit go on; they wait for nothing of their own."""
    for name, value in _lift_budget(run, approval, settled).items():
        setattr(run, name, value)
    run.save(update_fields=["budget_cents"])
    tasks = list(wanting_money(run).filter(controlled_by__isnull=True).select_for_update().order_by("id"))
    if not tasks:  # they ended meanwhile, or people control their machines
        follow(run, None, resumed)
    for number, task in enumerate(tasks):  # the first one tells the workflow run
        _spend(task, resumed, quietly=number > 0)
    run.refresh_from_db()


def _spend(task: Run, resumed: Event, *, quietly: bool) -> None:
    """The task goes on with the money that it waited for."""
    move(task, "running", before=(resumed,), quietly=quietly, **end_wait(task, timezone.now()))
    _drive(task)


def _fail(run: Run, approval: Approval, decision: Decision, resumed: Event) -> None:
    """The rejection ends the run. Only a budget is a guard, whose end a fatal `error` event announces."""
    reason = decision.note or "Rejected by a person."
    if not approval.traits.lifts_budget:
        fail(run, "REJECTED", reason, before=(resumed,))
        return
    budget = approval.budget or {}
    details = {
        "guard": "budget_cents",
        "scope": budget["scope"],
        "limit": budget["limit_cents"],
        "used": budget["used_cents"],
    }
    code = {"reason_code": "budget_cents", "details": details}
    fail(run, "GUARD_EXCEEDED", reason, before=(resumed,), fatal=True, **code)


def _judge_plan(run: Run, approval: Approval, settled: Settled) -> dict[str, Any]:
    """An approved plan lets the run act; a revised one is proposed anew."""
    if not approval.traits.takes_revision or run.plan is None or settled.decision is None:
        return {}
    return {"plan": run.plan | {"approved": settled.decision.verdict == "approve"}}


def _lift_budget(run: Run, approval: Approval, settled: Settled) -> dict[str, Any]:
    """What an approved budget changes on the run. Limits of others stay as they are: jobs.load() reads what was added."""
    if not approval.traits.lifts_budget or (approval.budget or {}).get("scope") != "run":
        return {}
    return {"budget_cents": min(run.budget_cents + settled.payload["values"]["add_cents"], MAX_BUDGET_CENTS)}


# --- control was given back, or a stop lifted


def take_late_effects(run: Run) -> None:
    """What was decided meanwhile takes effect. The caller holds the run's lock."""
    deciding.take_late_effects(LockedRun(run))
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

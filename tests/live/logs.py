"""Logs to read: runs whose events are written by hand, as the services would write them."""

import uuid
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.actor import SCOPES, Actor, system
from accounts.keys.services import issue_key
from accounts.models import Team
from approvals import services as approvals
from approvals.models import Approval
from runs.log import record
from runs.models import Run

Event = tuple[str, dict[str, Any]]


def status(name: str) -> Event:
    return "status", {"status": name}


def text(words: str) -> Event:
    return "text", {"text": words}


def step(index: int) -> list[Event]:
    """One step of a run as the drive loop writes it."""
    call = {"step": index, "call_id": f"call_{index}", "action_type": "click", "tool": "click", "params": {"x": index}}
    result = {"step": index, "call_id": f"call_{index}", "success": True, "skipped": False, "error": None}
    return [
        text(f"I do step {index}."),
        ("screenshot", {"index": 2 * index - 2, "step": index, "phase": "before", "width": 1280, "height": 800}),
        ("tool_call", call | {"host": None, "edited": False, "policy_id": None}),
        ("tool_result", result | {"approval_id": None}),
        ("screenshot", {"index": 2 * index - 1, "step": index, "phase": "after", "width": 1280, "height": 800}),
        ("step", {"steps_completed": index}),
        ("billing", {"credits_charged": 5 * index, "cost_cents": 5 * index}),
    ]


def opening(approval_id: str = "apr_1") -> list[Event]:
    data = {
        "reason": "Submit the form?", "message": "Submit the form?", "approval_id": approval_id,
        "request_id": approval_id, "kind": "approval", "reason_code": "AWAITING_APPROVAL", "input_kind": "approval",
        "expires_at": None, "step_id": None, "awaiting_step_id": None,
    }  # fmt: skip
    return [status("awaiting_human"), ("awaiting_human", data)]


def decision(approval_id: str = "apr_1") -> list[Event]:
    by = {"type": "user", "id": "usr_1", "name": "Ana"}
    data = {"approved": True, "verdict": "approve", "note": None, "approval_id": approval_id, "decided_by": by}
    return [("resumed", data | {"effect": "resumed"}), status("running")]


def error(code: str) -> dict[str, Any]:
    return {"code": code, "reason_code": code.lower(), "message": "It ended.", "details": None}


def end(name: str = "succeeded", problem: dict[str, Any] | None = None) -> list[Event]:
    result = {
        "passed": name == "succeeded", "status": name, "summary": "Done.", "verdict": None,
        "output": None, "output_text": None, "skipped": 0,
    }  # fmt: skip
    return [status(name), ("done", {"status": name, "result": result, "error": problem})]


WHOLE = [
    status("queued"), status("running"), *step(1), *opening(), *decision(), text("Received: {}"),
    *step(2), *step(3), *end(),
]  # fmt: skip


def new_team() -> Team:
    return Team.objects.create(slug=f"team-{uuid.uuid4().hex[:8]}", name="Team")


def new_key(team: Team, *, test: bool = True, scopes: frozenset[str] = frozenset(SCOPES)) -> str:
    return issue_key(system(team.id, test), "key", scopes).key


def actor_of(team: Team) -> Actor:
    return system(team.id, test=True)


def new_run(team: Team, *events: Event, **fields: Any) -> Run:
    """A run of the test world with these events; a `done` among them ends it."""
    run = Run(team=team, test=True, task="Find it", agent="scripted", created_by=actor_of(team).ref(), **fields)
    run.root_id = run.id
    run.save(force_insert=True)
    return write(run, *events)


def write(run: Run, *events: Event) -> Run:
    """Append events in one transaction, with the status of the run that they tell."""
    with transaction.atomic():
        locked = Run.objects.select_for_update().get(id=run.id)
        told = [data["status"] for kind, data in events if kind == "status"]
        if told:
            locked.status = told[-1]
            locked.finished_at = timezone.now() if locked.is_terminal else None
            locked.awaiting_human_reason = "Submit the form?" if locked.status == "awaiting_human" else None
            locked.awaiting_human_since = timezone.now() if locked.status == "awaiting_human" else None
        record(locked, *events, save=("status", "finished_at", "awaiting_human_reason", "awaiting_human_since"))
    return locked


def new_request(team: Team) -> Approval:
    """A run that waits, with its request."""
    run = new_run(team, *opening())
    return approvals.open_request(
        kind="approval", team_id=team.id, test=True, run_id=run.id, root_run_id=run.id, title="Submit the form?",
        message="Submit the form?", on_timeout="cancel",
    )  # fmt: skip


def close_request(request: Approval) -> None:
    """As a cancel closes it, with the events that tell so."""
    with transaction.atomic():
        approvals.close_pending(request.run_id, "cancelled", "cancel", actor_of(request.team))
        write(Run.objects.get(id=request.run_id), ("approval", {"approval_id": request.id, "change": "cancelled"}))

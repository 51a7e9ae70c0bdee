"""What a person's control of a machine does to the run that drives it.

`Run.controlled_by` bars the agent: it is set and cleared under the run's lock and every write of an agent tests it
(runs/driving/steps.py, runs/driving/jobs.py). A barred run stands at its next action boundary, behind a takeover request.
"""

from typing import Any

from django.utils import timezone

from accounts.actor import Actor
from approvals.models import Approval
from machines.models import TakeoverLease
from machines.sql import open_lease
from machines.takeover import control_leases
from runs.agents.action_summary import action_title
from runs.driving import inbox
from runs.log import Event, record, wake_workers
from runs.models import Run, Step
from runs.requests import services as requests
from web.times import rfc3339

MOST_ACTIONS = 100  # by hand, that the log tells one by one
_TYPED = {"type_text": "Type", "fill": "Fill a field with"}


def bar(run: Run, lease: TakeoverLease) -> None:
    """A person has taken the run's machine. An action already sent may complete; the run stands right after it."""
    run.controlled_by = lease.id
    record(run, _event(lease, "taken", lease.note), save=("controlled_by",))
    request = Approval.objects.filter(run_id=run.id, status="pending").first()
    if request is not None and request.traits.hands_over:
        lease.approval_id = request.id
        lease.save(update_fields=["approval_id"])
    elif request is None and run.status == "running" and not Step.objects.filter(run=run, status="acting").exists():
        stand(run, lease)
    wake_workers(run.id)  # who waits for a model lets the person work


def stand(run: Run, lease: TakeoverLease | None = None) -> None:
    """A barred run is at its action boundary: open the takeover request. The caller holds the run's lock.

    When control was given back before the run came to stand, it goes on with the note, unless it was not to.
    """
    lease = lease or TakeoverLease.objects.get(id=run.controlled_by)
    if lease.ended_at is not None:
        run.controlled_by = None
        run.save(update_fields=["controlled_by"])
        if lease.resumes:
            tell(run, lease.end_note)
            return
    approval = requests.open_for_takeover(run, lease.holder["name"], None if lease.private else lease.note)
    lease.approval_id, lease.opened_request = approval.id, True
    lease.save(update_fields=["approval_id", "opened_request"])


def give_back(run: Run, lease: TakeoverLease, note: str | None = None) -> None:
    """Its holder ends the locked lease by deciding on the run."""
    control_leases.end(lease, "released", note)
    lift(run, lease)


def lift(run: Run, lease: TakeoverLease) -> None:
    """The lease has ended. A run that has not come to stand yet keeps its bar until it does: its worker must look again.
    What a terminal run had to do with it is over: nothing is written.
    """
    if run.is_terminal:
        return
    if run.status != "running":
        run.controlled_by = None
    record(run, *_by_hand(lease), _event(lease, str(lease.end), lease.end_note), save=("controlled_by",))


def controller(run: Run) -> TakeoverLease | None:
    """The open lease that bars the run."""
    if run.controlled_by is None:
        return None
    return TakeoverLease.objects.filter(id=run.controlled_by, ended_at__isnull=True).first()


def require_controller(actor: Actor, run: Run) -> TakeoverLease | None:
    """The actor's own lease on the run's machine, locked; None when nobody controls it. Raises MachineInTakeover."""
    lease = controller(run)
    if lease is None:
        return None
    if not control_leases.is_holder(actor, lease):
        raise control_leases.in_takeover(lease)
    return open_lease(lease.machine_id)


def controlled_for(actor: Actor, approval: Approval) -> dict[str, str]:
    """Who controls the machine of a takeover request's run, as the actor finds it: {state, holder}.

    state: mine, other, free (the actor may take it), none (there is nothing to take, or the actor may not).
    """
    run = Run.objects.filter(id=approval.run_id).first()
    if run is None or run.owns_machine or run.machine_id is None:
        return {"state": "none", "holder": ""}
    lease = TakeoverLease.objects.filter(machine_id=run.machine_id, ended_at__isnull=True).first()
    if lease is not None and lease.lives:
        mine = control_leases.is_holder(actor, lease)
        return {"state": "mine" if mine else "other", "holder": str(lease.holder["name"])}
    return {"state": "free" if actor.may_take_control else "none", "holder": ""}


def request_of(lease: TakeoverLease) -> Approval | None:
    """The takeover request that waits for the end of the lease, locked."""
    return Approval.objects.select_for_update().filter(id=lease.approval_id, status="pending").first()


def tell(run: Run, note: str | None) -> None:
    """The note reaches the agent although no request is approved by giving back."""
    if not note:
        return
    payload = {"note": note}
    message = {"kind": "takeover", "verdict": "approve", "payload": payload, "approval_id": None}
    for name, value in inbox.with_message(run, message, payload).items():
        setattr(run, name, value)
    run.save(update_fields=["inbox", "inbox_secrets"])


def _event(lease: TakeoverLease, change: str, note: str | None) -> Event:
    """Of a private takeover the log tells who and how long."""
    words = None if lease.private else note
    at = rfc3339(timezone.now())
    return "takeover", {"change": change, "by": lease.holder, "at": at, "private": lease.private, "note": words}


def _by_hand(lease: TakeoverLease) -> list[Event]:
    if lease.private:
        return []
    actions = control_leases.actions_of(lease)
    lines = [f"{lease.holder['name']}, by hand: {hand_words(action)}" for action in actions[:MOST_ACTIONS]]
    if len(actions) > MOST_ACTIONS:
        lines.append(f"{lease.holder['name']} did {len(actions) - MOST_ACTIONS} more actions by hand.")
    return [("text", {"text": line, "by": lease.holder, "cost_cents": 0}) for line in lines]


def hand_words(action: dict[str, Any]) -> str:
    """One action by hand as a sentence; of typed text only how long it was."""
    command, params = action["command"], action["params"]
    if command == "input":
        return input_words(params)
    typed = params.get("text")  # "(7 characters)": the audit has no more
    if typed:
        return f"{_TYPED.get(command, command)} {typed.strip('()')}"
    return action_title(command, params, None, None)


def input_words(counts: dict[str, Any]) -> str:
    """What was done at the live screen, of which the audit keeps only how much it was."""
    names = {"characters": "character", "keys": "key", "clicks": "click", "scrolls": "scroll"}
    parts = [f"{counts[many]} {one if counts[many] == 1 else many}" for many, one in names.items() if counts.get(many)]
    return f"Worked at the screen: {', '.join(parts)}" if parts else "Worked at the screen"

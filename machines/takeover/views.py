"""The screen of a machine: watch it, take control, act by hand, give control back."""

from contextlib import suppress
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts.actor import TAKE_CONTROL
from accounts.pages import PageRequest, refusals_as_messages, show, signed_in, whole_number
from machines.access import get_machine
from machines.actions import by_hand
from machines.drivers.isolation.sandbox import sentence
from machines.models import Machine
from machines.schemas import MAX_NOTE, ActionBody
from machines.services import is_simulated
from machines.stops import stop_over
from machines.takeover import control_leases
from machines.takeover.services import release, take
from web.errors import Invalid, Refusal

STALE_SECONDS = 20  # who points at an older picture may hit something else
TIMEOUT_MS = 5_000  # of an action by hand: its effect is seen on the screen, so nobody waits for a command to end
NOT_PRIVATE = (
    "You had control already, and not in private: others see the screen. Give it back, then take it in private."
)
HOW: dict[str, dict[str, Any]] = {"double": {"count": 2}, "right": {"button": "right"}}
CLICKS = (("click", "Click"), ("double", "Double click"), ("right", "Right click"))
KEYS = (
    ("enter", "Enter"), ("tab", "Tab"), ("escape", "Esc"), ("backspace", "Backspace"), ("up", "↑"), ("down", "↓"),
    ("left", "←"), ("right", "→"), ("ctrl+c", "Ctrl+C"),
)  # fmt: skip


@require_GET
@signed_in("machines:read")
def screen_page(request: PageRequest, machine_id: str) -> HttpResponse:
    """Whoever may see machines watches. The page asks again and again, which keeps its holder's control alive."""
    machine = get_machine(request.actor, machine_id)
    lease = machine.lease
    is_mine = lease is not None and control_leases.is_holder(request.actor, lease)
    if lease is not None and is_mine:
        with suppress(Refusal), transaction.atomic():  # it has lapsed this moment: the next look says so
            control_leases.heartbeat(request.actor, machine.id, lease.id)
    context = {
        "section": "machines",
        "machine": machine,
        "lease": lease,
        "live_title": machine.display_name,
        "whose": "mine" if is_mine else "other" if lease else "agent" if machine.current_run_id else "nobody",
        "hidden": lease is not None and lease.private and not is_mine,
        "runs": machine.status == "running",
        "isolation": "" if is_simulated(machine) else machine.isolation,
        "protection": sentence(machine.isolation),
        "may_act": request.actor.may_take_control,
        "may_type": by_hand.may_type(request.actor, machine),
        "keys": KEYS,
        "clicks": CLICKS,
        "now": timezone.now(),
        "stop": stop_over(machine),
    }
    return show(request, "machines/screen.html", context)


@require_GET
@signed_in("machines:read")
def screen_picture(request: PageRequest, machine_id: str) -> HttpResponse:
    """What is on the screen at this moment; nothing of it is kept."""
    frame, _ = by_hand.take_picture(request.actor, get_machine(request.actor, machine_id))
    return HttpResponse(frame.png, content_type="image/png", headers={"Cache-Control": "private, no-store"})


@require_POST
@signed_in("actions:exec", TAKE_CONTROL)
def take_control(request: PageRequest, machine_id: str) -> HttpResponseBase:
    machine = get_machine(request.actor, machine_id)
    with refusals_as_messages(request):
        private = request.POST.get("private") == "1"
        lease = take(request.actor, machine.id, private=private)
        if private and not lease.private:  # another tab of theirs had it before
            messages.error(request, NOT_PRIVATE)
    return redirect("machine-screen", machine.id)


@require_POST
@signed_in("actions:exec", TAKE_CONTROL)
def give_back(request: PageRequest, machine_id: str) -> HttpResponseBase:
    """The run goes on, unless `keep_waiting` leaves its request open."""
    machine, lease = get_machine(request.actor, machine_id), request.POST.get("lease", "")
    note, resume = request.POST.get("note", ""), "keep_waiting" not in request.POST
    with refusals_as_messages(request):
        if len(note) > MAX_NOTE:
            raise Invalid((("body", "note"), f"Say it in at most {MAX_NOTE} characters.", "value_error"))
        released = release(request.actor, machine.id, lease, note=note or None, resume=resume, via="dashboard")
        messages.success(request, "You gave control back.")
        if released.run_id:
            return redirect("run", released.run_id)
    return redirect("machine-screen", machine.id)


@require_POST
@signed_in("actions:exec", TAKE_CONTROL)
def act_by_hand(request: PageRequest, machine_id: str) -> HttpResponseBase:
    machine = get_machine(request.actor, machine_id)
    bodies = actions_sent(request.POST, machine)
    if _is_click(request.POST) and _age(request.POST) > STALE_SECONDS:
        messages.warning(request, "Nothing was clicked: that picture was too old. This is the screen now.")
        bodies = []
    with refusals_as_messages(request):
        actions = by_hand.canonical_actions(machine, bodies)
        outcomes = (
            by_hand.act(request.actor, machine, actions, lease_id=request.POST.get("lease", "")) if actions else []
        )
        for error in (outcome.result.error for outcome in outcomes if not outcome.result.success):
            messages.error(request, f"The machine said: {error}")
    return redirect("machine-screen", machine.id)


def actions_sent(sent: QueryDict, machine: Machine) -> list[ActionBody]:
    """What the form asks for: a click, a key, a turn of the wheel, an address or text. Nothing of it: no actions."""
    if _is_click(sent):
        return [_action("click", **_point(sent, machine), **HOW.get(sent.get("how", ""), {}))]
    if key := sent.get("key"):
        return [_action("key_combo", keys=key.split("+")) if "+" in key else _action("key_press", key=key)]
    if direction := sent.get("scroll"):
        return [_action("scroll", x=machine.screen_width // 2, y=machine.screen_height // 2, direction=direction)]
    if address := sent.get("address"):
        return [_action("open_url", url=address if "://" in address else f"https://{address}")]
    text = sent.get("text", "")
    enter = [_action("key_press", key="enter")] if "enter" in sent else []
    return ([_action("type_text", text=text)] if text else []) + enter


def _action(command: str, **parameters: Any) -> ActionBody:
    return ActionBody(command=command, parameters=parameters, timeout_ms=TIMEOUT_MS)


def _is_click(sent: QueryDict) -> bool:
    return bool(sent.get("px")) or "at.x" in sent


def _point(sent: QueryDict, machine: Machine) -> dict[str, int]:
    """Where on the machine's screen: the browser counts in the picture as wide as it is `shown`."""
    scale = machine.screen_width / (whole_number(sent.get("shown", ""), 5) or machine.screen_width)
    x, y = (whole_number(sent.get(f"p{n}") or sent.get(f"at.{n}", ""), 5) or 0 for n in "xy")
    return {"x": min(round(x * scale), machine.screen_width - 1), "y": min(round(y * scale), machine.screen_height - 1)}


def _age(sent: QueryDict) -> float:
    """Seconds since the page with the picture was made, by our own clock."""
    return timezone.now().timestamp() - (whole_number(sent.get("seen", ""), 11) or 0)

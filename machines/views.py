"""Machines: what they are, what they do now, what they cost."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import get_team
from accounts.pages import PageRequest, problems, show, signed_in
from machines import pictures, services
from machines.access import ENDED, get_machine, machines_of
from machines.actions import by_hand
from machines.drivers.isolation.resource_limits import unbound
from machines.drivers.isolation.sandbox import sentence
from machines.drivers.registry import driver_for
from machines.forms import MachineForm
from machines.models import Machine
from machines.occupants import LastPicture, occupant
from machines.processes import home_sizes
from machines.schemas import cents_per_hour
from machines.stops import any_stop, stop_over
from web.errors import Refusal

GOING = frozenset({"creating", "starting", "stopping", "terminating"})


@require_GET
@signed_in("machines:read")
def machine_list(request: PageRequest) -> HttpResponse:
    everything = request.GET.get("all") == "1"
    every = machines_of(request.actor).order_by("created_at", "id")
    machines = list(every if everything else every.exclude(status="terminated"))
    lacks = {kind: driver_for(kind).missing() for kind in {services.driver_kind(m) for m in machines}}
    default, stops = get_team(request.actor).default_machine_id, any_stop(request.actor)
    context = {
        "section": "machines",
        "machines": [_card(m, lacks, default, stops=stops) for m in machines],
        "everything": everything,
        "ended": every.filter(status="terminated").count(),
        "may_write": request.actor.may("machines:write"),
        "rate": sum(cents_per_hour(m) for m in machines),
        "live_title": "Machines",
    }
    return show(request, "machines/list.html", context)


def _card(machine: Machine, lacks: dict[str, list[str]], default: str | None, *, stops: bool) -> dict[str, Any]:
    simulated = services.is_simulated(machine)
    return {
        "machine": machine,
        "picture": _run_picture(machine),
        "rate": cents_per_hour(machine),
        "lacks": lacks[services.driver_kind(machine)],
        "isolation": "" if simulated else machine.isolation,
        "protection": sentence(machine.isolation),
        "unbound": [] if simulated or not machine.handle else unbound(machine.isolation, machine.handle),
        "home_limit": round(settings.MACHINE_HOME_GB * home_sizes.GIGABYTE),
        "stop": stop_over(machine) if stops else None,
        "lease": machine.lease,
        "is_default": machine.id == default,
        "may_start": machine.status in services.STARTABLE,
        "going": machine.status in GOING,
        "may_stop": machine.status == "running" and not machine.current_run_id,
        "may_end": machine.status not in ENDED,
    }


def _run_picture(machine: Machine) -> LastPicture | None:
    """The newest picture that a run took of the machine, unless somebody took a newer one by hand."""
    picture, by_hand_at = occupant().last_picture(machine), machine.picture_at
    return None if picture is None or (by_hand_at is not None and by_hand_at >= picture.taken_at) else picture


@require_http_methods(["GET", "POST"])
@signed_in("machines:write")
def new_machine_page(request: PageRequest) -> HttpResponseBase:
    sent = request.POST if request.method == "POST" else None
    form = MachineForm(sent, initial={"kind": request.GET.get("kind", "terminal")})
    if form.is_valid():
        try:
            machine = services.create_machine(request.actor, form.body())
        except Refusal as refusal:
            form.refuse(problems(refusal))
        else:
            messages.success(request, f"{machine.display_name} is being made.")
            return redirect("machines")
    context = {
        "section": "machines",
        "form": form,
        "lacks": {k: driver_for(k).missing() for k in ("terminal", "browser")},
    }
    return render(request, "machines/new.html", context, status=422 if form.errors else 200)


@require_POST
@signed_in("machines:write")
def start(request: PageRequest, machine_id: str) -> HttpResponse:
    return _do(request, machine_id, services.start, "starts")


@require_POST
@signed_in("machines:write")
def stop(request: PageRequest, machine_id: str) -> HttpResponse:
    return _do(request, machine_id, services.stop, "stops; its files stay")


@require_http_methods(["GET", "POST"])
@signed_in("machines:write")
def terminate_page(request: PageRequest, machine_id: str) -> HttpResponseBase:
    if request.method == "POST":
        return _do(request, machine_id, services.terminate, "ends, and its files with it")
    context = {"section": "machines", "machine": get_machine(request.actor, machine_id)}
    return render(request, "machines/terminate.html", context)


@require_POST
@signed_in("machines:read")
def look(request: PageRequest, machine_id: str) -> HttpResponse:
    """Take a picture now; the page then shows it."""
    return _do(request, machine_id, by_hand.keep_picture)


def _do(request: PageRequest, machine_id: str, change: Any, words: str = "") -> HttpResponse:
    machine = get_machine(request.actor, machine_id)
    try:
        change(request.actor, machine.id)
        if words:
            messages.success(request, f"{machine.display_name} {words}.")
    except Refusal as refusal:
        messages.error(request, refusal.message)
    return redirect("machines")


@require_GET
@signed_in("machines:read")
def last_picture(request: PageRequest, machine_id: str) -> HttpResponse:
    """The last picture of the machine; its address on pages carries the hash, so a new one is fetched."""
    machine = get_machine(request.actor, machine_id)
    try:
        png = pictures.read(machine.picture) if machine.picture else None
    except FileNotFoundError:
        png = None
    if png is None:
        raise Http404
    return HttpResponse(png, content_type="image/png", headers={"Cache-Control": "private, no-store"})

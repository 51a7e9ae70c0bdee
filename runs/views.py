"""Runs, one run and its pictures."""

from typing import Any

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.actor import TAKE_CONTROL
from accounts.pages import PageRequest, go, refusals_as_messages, show, signed_in
from approvals.access import approvals_of
from approvals.cards.card import card, receipt
from approvals.models import Approval
from database import disk
from machines import pictures
from machines.access import machines_of
from machines.models import Machine, TakeoverLease
from machines.takeover import services as takeover
from runs import services
from runs.access import get_run, runs_of, tasks_of, waiting_on, why_queued
from runs.models import Look, Run, RunStatus, Screenshot, Step
from runs.pages.timeline import SHOWN, Moment, model_facts, moment, rows_of
from runs.starting.forms import as_api_call
from web.errors import Refusal
from web.paging import Page, page
from web.templatetags.show import plain

PAGE = 50
ENDS = {"active": ("queued", "running", "awaiting_human"), "ended": ("succeeded", "failed", "cancelled", "timed_out")}


@require_GET
@signed_in("runs:read")
def run_list(request: PageRequest) -> HttpResponse:
    """All of them, or the tasks of one workflow run."""
    named = request.GET.get("parent_id")
    every = tasks_of(request.actor, named) if named else runs_of(request.actor)
    rows = _filtered(every, request.GET.get("status", ""), request.GET.get("q", "").strip())
    part: Page[dict[str, Any]] = page(
        rows, {**request.GET.dict(), "limit": str(PAGE)}, lambda run: {"run": run}, request_id=request.request_id
    )
    shown = [row["run"] for row in part["data"]]
    _name_machines(request, shown)
    reasons = why_queued(run for run in shown if run.status == "queued")
    low = disk.room().low
    for row in part["data"]:
        row["waits"] = reasons.get(row["run"].id) or (waiting_on(row["run"]) if row["run"].model_wait or low else None)
    context = {
        "section": "runs",
        "rows": part["data"],
        "next_cursor": part["next_cursor"],
        "status": request.GET.get("status", ""),
        "q": request.GET.get("q", ""),
        "any": bool(part["data"]) or every.exists(),
        "parent": get_run(request.actor, named) if named else None,
        "may_start": request.actor.may("runs:write"),
        "live_title": "Runs",
    }
    return show(request, "runs/list.html", context)


def _filtered(rows: QuerySet[Run], status: str, text: str) -> QuerySet[Run]:
    if status in RunStatus.values or status in ENDS:
        rows = rows.filter(status__in=ENDS.get(status, (status,)))
    if text:
        rows = rows.filter(Q(task__icontains=text) | Q(name__icontains=text) | Q(id__startswith=text))
    return rows


def _name_machines(request: PageRequest, shown: list[Run]) -> None:
    names = dict(
        machines_of(request.actor).filter(id__in={r.machine_id for r in shown}).values_list("id", "display_name")
    )
    for run in shown:
        own = "" if run.kind == "workflow" else "Simulated machine"
        run.machine_name = names.get(run.machine_id or "", own)  # type: ignore[attr-defined]


@require_GET
@signed_in("runs:read")
def run_page(request: PageRequest, run_id: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    _name_machines(request, [run])
    requests = list(approvals_of(request.actor).filter(run_id=run.id).order_by("created_at"))
    waiting = next((a for a in requests if a.status == "pending"), None)
    chosen = moment(run, request.GET.get("step", ""), request.GET.get("phase", ""))
    steps = list(Step.objects.filter(run=run).order_by("-started_at")[: None if request.GET.get("all") else SHOWN])
    rows = rows_of(run, steps, _since(requests, steps))
    context = {
        "section": "runs",
        "run": run,
        "moment": chosen,
        "hidden": run.steps_completed - len(steps),
        "watched": _watched(request, run, chosen),
        "hands": _in_other_hands(run),
        "waits": waiting_on(run),
        "clocks": run.clocks(timezone.now()),
        "card": card(request.actor, waiting, request.path) if waiting and request.actor.may("approvals:read") else None,
        "api_call": as_api_call(run, f"{request.scheme}://{request.get_host()}"),
        "last_seq": run.next_seq - 1,
        "may_write": request.actor.may("runs:write"),
        "may_act": request.actor.may_take_control,
        "may_read_money": request.actor.may("usage"),
        "live_title": page_title(run),
        "decided": receipt(request.actor, request.GET.get("decided"), request.path),
        "by_person": _by_person(run, requests),
        **model_facts(run, rows, steps, chosen),
    }
    return show(request, "runs/run.html", context)


def _by_person(run: Run, requests: list[Approval]) -> bool:
    """Whether the agent did nothing and a person says that the task is done."""
    return not run.steps_completed and any(a.traits.hands_over and a.status == "approved" for a in requests)


def _watched(request: PageRequest, run: Run, chosen: Moment) -> Machine | None:
    """The machine whose screen the page shows as it is now: that of a run at work, unless it is not to be seen."""
    at_work = run.status == "running" and run.stopped_at is None
    if chosen.chosen or not at_work or run.owns_machine or not request.actor.may("machines:read"):
        return None
    machine = machines_of(request.actor).filter(id=run.machine_id, status="running").first()
    lease = machine.lease if machine else None
    return None if lease is not None and lease.private else machine


def _in_other_hands(run: Run) -> bool:
    """Whether a person controls the machine now: what they do is told as it happens."""
    return TakeoverLease.objects.filter(run_id=run.id, ended_at__isnull=True).exists()


def _since(requests: list[Approval], steps: list[Step]) -> list[Approval]:
    """The requests that belong to the steps shown."""
    if len(steps) < SHOWN:
        return requests
    return [a for a in requests if a.created_at >= steps[-1].started_at]


def page_title(run: Run) -> str:
    return f"{run.get_status_display()} · {plain(run.title[:60])}"


@require_http_methods(["GET", "POST"])
@signed_in("runs:write")
def cancel_page(request: PageRequest, run_id: str) -> HttpResponseBase:
    run = get_run(request.actor, run_id)
    if request.method == "GET" and not run.is_terminal:
        return render(request, "runs/cancel.html", {"section": "runs", "run": run})
    try:
        services.cancel_run(request.actor, run.id, request.POST.get("reason", "").strip()[:2000] or None)
    except Refusal as refusal:
        messages.warning(request, f"Nothing was cancelled: the run has ended already. {refusal.message}")
    return redirect("run", run.id)


@require_GET
@signed_in("machines:read")
def screen_of_run(request: PageRequest, run_id: str) -> HttpResponseBase:
    """That of its machine, or the run itself, if it has none that is anybody's to see."""
    run = get_run(request.actor, run_id)
    if run.owns_machine or run.machine_id is None:
        return redirect("run", run.id)
    return redirect("machine-screen", run.machine_id)


@require_POST
@signed_in("actions:exec", TAKE_CONTROL)
def take_control(request: PageRequest, run_id: str) -> HttpResponseBase:
    """From a takeover card: one press takes control and leads to the screen."""
    run = get_run(request.actor, run_id)
    if run.owns_machine or run.machine_id is None:
        messages.warning(request, "This run has no machine that anybody could take.")
        return go(request, "run", run.id)
    leases = []
    with refusals_as_messages(request):
        leases.append(takeover.take(request.actor, run.machine_id))
    return redirect("machine-screen", run.machine_id) if leases else go(request, "run", run.id)


@require_GET
@signed_in("runs:read")
def screenshot(request: PageRequest, run_id: str, index: int) -> HttpResponse:
    """One picture of a run, only for who may see the run."""
    return png(get_run(request.actor, run_id), index)


@require_GET
@signed_in("runs:read")
def look(request: PageRequest, run_id: str, number: int) -> HttpResponse:
    """What a model looked at between steps, only for who may see the run."""
    return _file(Look.objects.filter(run=get_run(request.actor, run_id), number=number).first())


def png(run: Run, index: int) -> HttpResponse:
    """The picture itself, for this answer only."""
    return _file(Screenshot.objects.filter(run=run, index=index).first())


def _file(shot: Screenshot | Look | None) -> HttpResponse:
    if shot is None:
        raise Http404
    try:
        content = pictures.read(shot.sha256)
    except FileNotFoundError:
        raise Http404 from None
    return HttpResponse(content, content_type="image/png", headers={"Cache-Control": "private, no-store"})

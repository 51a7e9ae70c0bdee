"""For those who watch the installation: is it up, is it ready, which version, and how much of what."""

import logging
import sys

from django.db import DatabaseError, connection
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.defaults import server_error

from accounts.middleware import is_api, refusal_response
from approvals.models import Approval
from approvals.statistics import metrics as asked_people
from config.monitoring.metrics_readers import require_reader
from database import disk
from database.outages import unavailable
from machines.models import Machine
from runs.access import living_workers
from runs.models import Run, Worker
from web.errors import Refusal
from web.version import API_VERSION, VERSION

log = logging.getLogger(__name__)


def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers; it says nothing of the database."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database answers, a worker lives and there is room on the disk, else 503 with what is missing."""
    missing = []
    try:
        connection.ensure_connection()
        workers = living_workers()
        if workers.least_driven is None:
            missing.append("No worker is running.")
        if (room := disk.room()).low or workers.disk_full:
            missing.append(
                f"{room}." if room.low else "A worker finds no room on its disk, or on that of the database."
            )
    except DatabaseError:
        missing.append("The database does not answer.")
    return JsonResponse({"ready": not missing, "missing": missing}, status=503 if missing else 200)


def broken(request: HttpRequest) -> HttpResponseBase:
    """What became of a request that broke outside the routes of the API: it may be but a bad moment of the installation."""
    error = sys.exc_info()[1]
    refusal = unavailable(error) if error is not None else None
    if refusal is None:
        return server_error(request)
    log.warning("%s %s was refused: %s", request.method, request.path_info, error)
    if is_api(request):
        return refusal_response(refusal, request)
    response = HttpResponse(render_to_string("503.html", {"message": refusal.message}), status=refusal.status)
    response["Retry-After"] = refusal.headers["Retry-After"]
    response.refusal = refusal  # type: ignore[attr-defined]
    return response


def version(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"version": VERSION, "api": API_VERSION})


def metrics(request: HttpRequest) -> HttpResponse:
    """Gauges in the text format of Prometheus 0.0.4, for who may read them (metrics_readers.py). They name no team, and policies
    and people only by id, to who may see them."""
    try:
        reader = require_reader(request)
    except Refusal as refusal:
        return refusal_response(refusal, request)
    lines: list[str] = []
    runs = Run.objects.filter(finished_at__isnull=True).values_list("status").annotate(n=Count("id"))
    _gauge(lines, "countersign_runs_unfinished", "Unfinished runs by status.", {f'status="{s}"': n for s, n in runs})
    waiting = Approval.objects.filter(status="pending").order_by("created_at").values_list("created_at", flat=True)
    oldest = (timezone.now() - first).total_seconds() if (first := waiting.first()) else 0
    _gauge(lines, "countersign_approvals_pending", "Requests that wait for a person.", {"": waiting.count()})
    _gauge(lines, "countersign_approvals_oldest_seconds", "Age of the oldest pending request.", {"": round(oldest, 1)})
    machines = Machine.objects.exclude(status="terminated").values_list("status").annotate(n=Count("id"))
    _gauge(lines, "countersign_machines", "Machines by status.", {f'status="{s}"': n for s, n in machines})
    _gauge(lines, "countersign_workers", "Workers that gave a heartbeat in the last minute.", {"": _workers()})
    for gauge in asked_people.gauges(reader, timezone.now()):
        if gauge.values:
            _gauge(lines, *gauge)
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4; charset=utf-8")


def _workers() -> int:
    return sum(
        (timezone.now() - at).total_seconds() < 60 for at in Worker.objects.values_list("heartbeat_at", flat=True)
    )


def _gauge(lines: list[str], name: str, text: str, values: dict[str, float]) -> None:
    lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
    lines += [f"{name}{{{labels}}} {value}" if labels else f"{name} {value}" for labels, value in values.items()]

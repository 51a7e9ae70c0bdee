"""Timers of workflow runs. What was queued and lost with a worker is done here, so that no run stands still for long."""

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from approvals.models import Approval
from database.timers import each_due
from runs.models import Run
from workflows.models import Execution, Ticket
from workflows.runs import running

BATCH = 25  # each does its work here, and the other timers wait for it
LATE = timedelta(seconds=3)  # after which what should have been done long ago is done here


def begin_late() -> int:
    """Workflow runs that no worker took up."""
    late = timezone.now() - LATE
    rows = Run.objects.filter(kind="workflow", status="queued", created_at__lt=late, stopped_at__isnull=True)
    return each_due(running.begin, list(rows.values_list("id", flat=True)[:BATCH]))


def go_on_late() -> int:
    """Control flow that was cut and not taken up again."""
    late = timezone.now() - LATE
    rows = Execution.objects.filter(
        cut=True, changed_at__lt=late, run__finished_at__isnull=True, run__stopped_at__isnull=True
    )
    return each_due(running.go_on, list(rows.values_list("run_id", flat=True)[:BATCH]))


def tell_late() -> int:
    """Ends of tasks and decisions that did not reach their workflow run."""
    since = timezone.now() - LATE
    ended = Run.objects.filter(id=OuterRef("ref"), finished_at__lt=since)
    decided = Approval.objects.filter(id=OuterRef("ref"), effective_at__lt=since, effect_pending=False).exclude(
        Q(status="pending") | Q(status="void")
    )
    going = {"execution__run__finished_at__isnull": True, "execution__run__stopped_at__isnull": True}
    waiting = Ticket.objects.filter(open=True, **going)
    tasks = waiting.filter(Exists(ended), kind="task").values_list("ref", flat=True)[:BATCH]
    requests = waiting.filter(Exists(decided), kind="request").values_list("ref", flat=True)[:BATCH]
    return each_due(running.task_ended, list(tasks)) + each_due(running.request_decided, list(requests))


def forget_ended() -> int:
    """Runs that were ended in the middle wait for nothing: those that do are found quickly as long as they are few."""
    runs = Run.objects.filter(kind="workflow", finished_at__isnull=False).values("id")
    tickets = Ticket.objects.filter(open=True, execution__in=runs).update(open=False)
    return tickets + Execution.objects.filter(cut=True, run__in=runs).update(cut=False)

"""The log of a run: rows appended in the transaction of the change they report, and the bells that wake their readers."""

from typing import Any

from django.db import connection
from django.utils import timezone

from accounts.messages import publish
from runs.models import Run, RunEvent

Event = tuple[str, dict[str, Any]]


def record(run: Run, *events: Event, save: tuple[str, ...] = ()) -> None:
    """Append events and save the named fields of the run in one update. The caller holds the lock of the run's row."""
    first = run.next_seq
    now = timezone.now()
    run.next_seq += len(events)
    run.save(update_fields=["next_seq", *save])
    RunEvent.objects.bulk_create(
        RunEvent(run_id=run.id, seq=first + i, type=kind, data=data, created_at=now)
        for i, (kind, data) in enumerate(events)
    )
    ring(run)
    for kind, data in events:
        publish(f"run.{kind}" if kind != "status" else f"run.{data['status']}", run.id)


def ring(run: Run) -> None:
    """NOTIFY, sent by the commit: who reads this run's log, and who shows this team's pages."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_notify('run_events', %s), pg_notify('team_events', %s)",
            [f"{run.id}:{run.next_seq - 1}", f"{run.team_id}:{'test' if run.test else 'live'}"],
        )


def wake_workers(run_id: str) -> None:
    """NOTIFY the run loops, sent by the commit: this run can go on, or has ended."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('run_wake', %s)", [run_id])

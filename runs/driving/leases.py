"""Leases: which worker drives which run, and until when. Every claim raises the epoch that fences all writes.

Leases are measured by the database's clock alone: the clocks of workers may differ.
"""

from datetime import timedelta

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from database.sql import prepared, prepared_all
from machines.processes.nodes import this_node
from runs import sql
from runs.models import Run, Worker
from runs.stops.holding import STOPPED_GRACE


def claim(owner: str, limit: int) -> list[tuple[str, int]]:
    """Lease up to `limit` runnable runs whose machines this node reaches; returns (run id, epoch)."""
    values = {"owner": owner, "n": limit, "seconds": settings.LEASE_SECONDS, "node": this_node()}
    rows = prepared_all(sql.CLAIM, values)
    return [(run_id, epoch) for run_id, epoch in rows]


def renew(owner: str, run_ids: list[str], disk_full: bool = False) -> list[str]:
    """Heartbeat: renew every lease of this worker. Returns the runs that are no longer its own, have ended, or are stopped:
    an action that was sent before the stop had its time to end."""
    now = timezone.now()
    facts = {"heartbeat_at": now, "driving": len(run_ids), "node": this_node(), "disk_full": disk_full}
    Worker.objects.update_or_create(name=owner, defaults=facts, create_defaults=facts | {"started_at": now})
    if not run_ids:
        return []
    mine = Run.objects.filter(id__in=run_ids, lease_owner=owner, finished_at__isnull=True)
    mine.update(lease_until=Now() + timedelta(seconds=settings.LEASE_SECONDS))
    stopped = {"status": "running", "stopped_at__lt": Now() - timedelta(seconds=STOPPED_GRACE)}
    kept = set(mine.exclude(**stopped).values_list("id", flat=True))
    return [run_id for run_id in run_ids if run_id not in kept]


def let_go(run_id: str, owner: str, epoch: int) -> None:
    """This worker no longer touches the run: its lease is free, and a cancelled run's stop is confirmed."""
    prepared(sql.LET_GO, {"run": run_id, "owner": owner, "epoch": epoch, "now": timezone.now()})


def broke_off(run_id: str, epoch: int) -> None:
    """Driving the run failed: it counts as a lost worker, so that what fails each time ends. The lease runs out."""
    mine = Run.objects.filter(id=run_id, lease_epoch=epoch, status="running")
    mine.update(takeovers=F("takeovers") + 1, lease_owner=None)


def park_orphans() -> int:
    """Runs whose worker died while they waited: nobody is attached to them any more."""
    orphans = Run.objects.filter(status="awaiting_human", lease_owner__isnull=False, lease_until__lt=Now())
    return orphans.update(parked_at=timezone.now(), lease_owner=None, lease_until=None)


def retire(owner: str) -> None:
    """The worker ends: all its leases are free at once, and what waits is parked."""
    Run.objects.filter(lease_owner=owner, status="awaiting_human").update(parked_at=timezone.now())
    Run.objects.filter(lease_owner=owner).update(lease_owner=None, lease_until=None)
    Worker.objects.filter(name=owner).delete()

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
from runs.models import Run, Worker

STOPPED_GRACE = 1.0  # seconds that an action which was sent before a stop may take; then its worker lets go
# Runs that can go on: running without a live lease; queued with a machine that is free (best priority first, then age).
_CLAIM = """
WITH free AS (
  SELECT id FROM runs_run r WHERE status = 'running' AND kind = 'agent' AND stopped_at IS NULL
    AND (lease_until IS NULL OR lease_until < now())
    AND (owns_machine OR NOT EXISTS (SELECT 1 FROM machines_machine e WHERE e.id = r.machine_id
      AND (e.node <> %(node)s::text OR e.halted_at IS NOT NULL)))
  ORDER BY created_at LIMIT %(n)s FOR UPDATE SKIP LOCKED
), queued AS (
  SELECT r.id FROM runs_run r LEFT JOIN machines_machine m ON m.id = r.machine_id AND NOT r.owns_machine
  WHERE r.status = 'queued' AND r.kind = 'agent' AND r.stopped_at IS NULL AND (r.lease_until IS NULL OR r.lease_until < now())
    AND (r.owns_machine OR (m.status = 'running' AND m.current_run_id IS NULL AND m.halted_at IS NULL
      AND (m.node IS NULL OR m.node = %(node)s::text) AND NOT EXISTS (
      SELECT 1 FROM runs_run o WHERE o.machine_id = r.machine_id AND o.status = 'queued' AND NOT o.owns_machine AND o.stopped_at IS NULL
        AND (o.priority, r.created_at, r.id) > (r.priority, o.created_at, o.id))
      AND NOT EXISTS (SELECT 1 FROM machines_takeoverlease t WHERE t.machine_id = m.id AND t.ended_at IS NULL)))
  ORDER BY r.priority DESC, r.created_at LIMIT %(n)s FOR UPDATE OF r SKIP LOCKED
)
UPDATE runs_run SET lease_owner = %(owner)s::text, lease_until = now() + make_interval(secs => %(seconds)s),
  lease_epoch = lease_epoch + 1, parked_at = NULL,
  takeovers = takeovers + CASE WHEN status = 'running' AND lease_owner <> %(owner)s::text THEN 1 ELSE 0 END
WHERE id IN (SELECT id FROM free UNION ALL SELECT id FROM queued LIMIT %(n)s) RETURNING id, lease_epoch
"""
_LET_GO = """
UPDATE runs_run SET lease_owner = NULL, lease_until = NULL, stop_confirmed_at = CASE
  WHEN status = 'cancelled' AND cancel_requested_at IS NOT NULL THEN coalesce(stop_confirmed_at, %(now)s) ELSE stop_confirmed_at END
WHERE id = %(run)s AND lease_owner = %(owner)s AND lease_epoch = %(epoch)s
"""


def claim(owner: str, limit: int) -> list[tuple[str, int]]:
    """Lease up to `limit` runnable runs whose machines this node reaches; returns (run id, epoch)."""
    values = {"owner": owner, "n": limit, "seconds": settings.LEASE_SECONDS, "node": this_node()}
    rows = prepared_all(_CLAIM, values)
    return [(run_id, epoch) for run_id, epoch in rows]


def renew(owner: str, run_ids: list[str], disk_full: bool = False) -> list[str]:
    """Heartbeat: renew every lease of this worker. Returns the runs that are no longer its own, have ended, or are stopped:
    an action that was sent before the stop had its time to end."""
    now = timezone.now()
    facts = {"heartbeat_at": now, "driving": len(run_ids), "node": this_node(), "disk_full": disk_full}
    Worker.objects.update_or_create(
        name=owner,
        defaults=facts,
        create_defaults=facts | {"started_at": now},
    )
    if not run_ids:
        return []
    mine = Run.objects.filter(id__in=run_ids, lease_owner=owner, finished_at__isnull=True)
    mine.update(lease_until=Now() + timedelta(seconds=settings.LEASE_SECONDS))
    stopped = {"status": "running", "stopped_at__lt": Now() - timedelta(seconds=STOPPED_GRACE)}
    kept = set(mine.exclude(**stopped).values_list("id", flat=True))
    return [run_id for run_id in run_ids if run_id not in kept]


def let_go(run_id: str, owner: str, epoch: int) -> None:
    """This worker no longer touches the run: its lease is free, and a cancelled run's stop is confirmed."""
    prepared(_LET_GO, {"run": run_id, "owner": owner, "epoch": epoch, "now": timezone.now()})


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

"""What is no longer true of rows that come out of a backup: processes that drive, machines that live, and the time."""

from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from accounts.actor import system
from accounts.audit.services import audit
from accounts.models import Team
from approvals.models import Approval
from config.backup.archive import Manifest
from machines.models import Machine
from machines.processes.nodes import FORGOTTEN
from runs.models import Run
from web.times import rfc3339


def put_right(manifest: Manifest) -> None:
    """In the transaction of the restore, once the tables are those of this version."""
    now = timezone.now()
    _nobody_drives()
    _give_back(now - manifest.created_at)
    # A handle names processes of the place that was backed up, which may be this very computer: they are not ours.
    Machine.objects.exclude(status="terminated").filter(test=False).update(node=None, metered_at=now, **FORGOTTEN)
    for team_id in Team.objects.values_list("id", flat=True):
        audit(system(team_id, test=False), "team.restored", team_id, backup_of=rfc3339(manifest.created_at))


def _nobody_drives() -> None:
    Run.objects.filter(lease_owner__isnull=False, status="awaiting_human").update(parked_at=timezone.now())
    Run.objects.filter(lease_owner__isnull=False).update(lease_owner=None, lease_until=None)


def _give_back(absence: timedelta) -> None:
    """Between backup and restore nobody could decide and nothing could work: no time that is limited passed."""
    if absence <= timedelta(0):
        return
    # What a stop holds gets its time back when the stop is lifted.
    Run.objects.filter(finished_at__isnull=True, stopped_at__isnull=True).update(
        deadline_at=F("deadline_at") + absence, resume_at=F("resume_at") + absence
    )
    asking = Approval.objects.filter(stopped_at__isnull=True)
    asking.filter(status="pending").update(
        expires_at=F("expires_at") + absence,
        remind_at=F("remind_at") + absence,
        claim_expires_at=F("claim_expires_at") + absence,
    )
    asking.filter(effect_pending=True).update(
        effective_at=F("effective_at") + absence, undo_until=F("undo_until") + absence
    )
    Machine.objects.exclude(status="terminated").update(auto_destroy_at=F("auto_destroy_at") + absence)

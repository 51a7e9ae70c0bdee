"""What a model looked at between steps, kept for people."""

from collections.abc import Iterable

from django.db.models import Max
from django.utils import timezone

from runs.agents.base import Look as Shown
from runs.models import Look, Run


def keep_looks(run: Run, looks: Iterable[Shown]) -> None:
    """One row for each picture, in the transaction of the thought that they belong to; the caller holds the run's lock."""
    pictures = list(looks)
    if not pictures:
        return
    last = Look.objects.filter(run=run).aggregate(last=Max("number"))["last"]
    first = 0 if last is None else last + 1
    now, step = timezone.now(), run.steps_completed + 1
    Look.objects.bulk_create(
        Look(
            run=run,
            number=first + n,
            step=step,
            sha256=each.picture,
            width=each.width,
            height=each.height,
            region=list(each.region) if each.region else None,
            taken_at=now,
        )
        for n, each in enumerate(pictures)
    )

"""A run loop's view of the disk: whether there is room to write, and what its runs do while there is none."""

import asyncio
import time
from typing import Any

from django.db import transaction

from database import disk
from runs import services
from runs.driving.jobs import Job
from runs.driving.steps import LeaseLost
from runs.log import record

LOOK_SECONDS = 1.0  # between two looks, while there is none
WAITS = "The disk of the installation is nearly full: this run waits until there is room."
GOES_ON = "There is room on the disk again: this run goes on."


class DiskWatch:
    """Full is a disk with less than the reserve, and one that refused a write a moment ago: of a database's disk nobody
    knows more, and quotas show no free space."""

    def __init__(self) -> None:
        self._refused_at = -LOOK_SECONDS

    def refused(self) -> None:
        """Something could not be written."""
        self._refused_at = time.monotonic()

    def full(self) -> bool:
        return time.monotonic() - self._refused_at < LOOK_SECONDS or disk.room().low

    async def until_room(self) -> None:
        while self.full():  # noqa: ASYNC110  the system rings no bell when there is room
            await asyncio.sleep(LOOK_SECONDS / 2)


def say(job: Job, words: str) -> None:
    """In the log, which makes the pages look again. Raises LeaseLost."""
    with transaction.atomic():
        run = services.lock_run(job.run.id)
        if run.lease_epoch != job.epoch or run.is_terminal:
            raise LeaseLost
        event: dict[str, Any] = {"text": words, "by": "system"}
        record(run, ("text", event))

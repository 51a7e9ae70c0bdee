"""`manage.py clock`: deadlines, expiries, reminders, messages to send again, machines whose time is over.

One runs, others wait.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from accounts import idempotency, limits
from accounts.webhooks import outbox
from approvals.mail import outbox as mail
from approvals.mail import reminders
from machines import lifecycle, metering
from runs import clock, takeover
from workflows import clock as workflows

log = logging.getLogger(__name__)
LOCK = 4_270_100  # the advisory lock of the one clock that ticks
TICK = 0.25  # seconds
# What is done how often, in seconds.
CHORES: tuple[tuple[float, Callable[[], object]], ...] = (
    (0.25, clock.expiries),
    (0.25, clock.deadlines),
    (0.25, clock.effects),
    (0.25, outbox.queue_due),
    (1, reminders.remind_due),
    (1, mail.queue_due),
    (1, clock.stops),
    (1, takeover.lapses),
    (1, workflows.begin_late),
    (1, workflows.go_on_late),
    (1, workflows.tell_late),
    (2, lifecycle.reconcile),
    (5, clock.vanished),
    (5, lifecycle.reap),
    (60, metering.charge_all),
    (60, workflows.forget_ended),
    (60, limits.sweep),
    (60, idempotency.sweep),
    (600, clock.workers),
    (600, clock.retention),
    (600, outbox.sweep),
    (600, mail.sweep),
)


class Command(BaseCommand):
    help = "Runs the timers. Any number may run; one ticks, the others stand by."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        due = dict.fromkeys(CHORES, 0.0)
        while not stop.wait(TICK):
            try:
                if _holds_lock():
                    _tick(due)
            except (OperationalError, InterfaceError):
                close_old_connections()


def _holds_lock() -> bool:
    """True for the one clock that ticks: the lock is the session's and falls with it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND pid = pg_backend_pid())"
            " OR pg_try_advisory_lock(%s)",
            [LOCK, LOCK],
        )
        return bool(cursor.fetchone()[0])


def _tick(due: dict[tuple[float, Callable[[], object]], float]) -> None:
    now = time.monotonic()
    for chore, at in due.items():
        if at > now:
            continue
        every, work = chore
        due[chore] = now + every
        try:
            work()
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("the clock's %s failed", work.__name__)

"""The clock: timers that sleep until something is due (docs/adr/0010).

One statement asks the tables when each chore is due next; the clock sleeps until the first of these moments. What becomes due sooner
than that rings: the tables' triggers `ring_clock` notify CHANNEL. The tables are asked again every CLOCK_LOOK_SECONDS all the same, so a
ring that is lost makes nothing later than that. Any number of clocks may run: one ticks, the others stand by for its lock.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.db import close_old_connections, connection

from accounts import idempotency, limits
from accounts import sql as accounts_sql
from accounts.webhooks import outbox
from approvals import clock as approvals
from approvals import sql as approvals_sql
from approvals.external import log as external_log
from approvals.mail import outbox as mail
from approvals.mail import reminders
from billing import direct
from database.outages import is_away, passes
from database.sql import prepared
from inference.sessions import services as sessions
from machines.processes import freezing, home_sizes, lifecycle, metering
from machines.takeover import control_leases as takeover_leases
from machines.takeover import services as takeover
from runs import clock, retention
from runs import sql as runs_sql
from runs.stops import clock as stops
from runs.stops import sql as stops_sql
from workflows import clock as workflows
from workflows import sql as workflows_sql

log = logging.getLogger(__name__)
LOCK = 4_270_100  # the advisory lock of the one clock that ticks
CHANNEL = "clock"
TICK = 0.25  # seconds between two looks at the tables while there is much to do
STANDBY = 0.5  # seconds between two attempts to get the lock
HEARS = 0.25  # seconds after which a clock that sleeps notices that it is to end
SLACK = 0.01  # seconds: what is due at a moment is looked for right after it
AT_LEAST = 60.0  # seconds after which a chore is done although nothing is due


@dataclass(frozen=True)
class Chore:
    work: Callable[[], object]
    every: float  # seconds between two times at least
    due: str = ""  # selects when there is something to do next, null for never; "": whenever `every` is over


CHORES = (
    Chore(approvals.expiries, 0.25, approvals_sql.NEXT_EXPIRY),
    Chore(clock.deadlines, 0.25, runs_sql.NEXT_DEADLINE),
    Chore(approvals.effects, 0.25, approvals_sql.NEXT_EFFECT),
    Chore(outbox.queue_due, 0.25, accounts_sql.NEXT_DELIVERY),
    Chore(reminders.remind_due, 1, approvals_sql.NEXT_REMINDER),
    Chore(mail.queue_due, 1, approvals_sql.NEXT_NOTICE),
    Chore(clock.stops, 1, runs_sql.NEXT_STOP),
    Chore(takeover.lapses, 1, takeover_leases.NEXT_LAPSE),
    Chore(freezing.settle_all, 0.5, freezing.NEXT_SETTLE),
    Chore(stops.enforce, 0.5, stops_sql.NEXT_ENFORCE),
    Chore(stops.thaw, 1, stops_sql.NEXT_THAW),
    Chore(stops.uphold, 2, stops_sql.NEXT_UPHOLD),
    Chore(workflows.begin_late, 1, workflows_sql.NEXT_LATE_BEGIN),
    Chore(workflows.go_on_late, 1, workflows_sql.NEXT_LATE_CUT),
    Chore(workflows.tell_late, 1, workflows_sql.NEXT_LATE_TELL),
    Chore(lifecycle.retry_stuck, 2, lifecycle.NEXT_STUCK),
    Chore(lifecycle.look_everywhere, 2),
    Chore(home_sizes.look, 1),
    Chore(clock.vanished, 5),
    Chore(lifecycle.reap, 5),
    Chore(direct.release_lapsed, 10),
    Chore(metering.charge_all, 60),
    Chore(sessions.sweep, 60),
    Chore(workflows.forget_ended, 60),
    Chore(limits.sweep, 60),
    Chore(idempotency.sweep, 60),
    Chore(clock.workers, 10),
    Chore(clock.retention, 600),
    Chore(retention.files, 60),
    Chore(retention.rows, 3600),
    Chore(outbox.sweep, 600),
    Chore(mail.sweep, 600),
    Chore(external_log.sweep, 600),
)
SLEEPING = tuple(chore for chore in CHORES if chore.due)
_DUE = "SELECT " + ", ".join(f"extract(epoch FROM ({chore.due}) - now())::float8" for chore in SLEEPING)  # noqa: S608  our own words


def due_in() -> list[float | None]:
    """In how many seconds each of SLEEPING has something to do; None: nothing is to come."""
    row = prepared(_DUE, {})
    assert row is not None
    return list(row)


class Clock:
    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._session: object = None  # the connection that holds the lock, and listens
        self._asked = self._ask_at = 0.0  # when the tables were asked last, and are to be asked next
        self._due: dict[Chore, float] = {}
        self._done: dict[Chore, float] = {}

    def run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._holds_lock():
                    self._sleep(self._tick())
                else:
                    self._stop.wait(STANDBY)
            except Exception as error:
                if not passes(error):
                    raise
                close_old_connections()
                self._stop.wait(TICK)

    def _holds_lock(self) -> bool:
        """True for the one clock that ticks: the lock is the session's and falls with it. Listens from then on."""
        if self._session is not None and connection.connection is self._session:
            return True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                return False
            cursor.execute(f"LISTEN {CHANNEL}")
        self._session, self._ask_at = connection.connection, 0.0
        return True

    def _tick(self) -> float:
        """Do what is due. Returns until when there is nothing to do, as time.monotonic() counts."""
        now = time.monotonic()
        if now >= self._ask_at:
            self._ask(now)
        for chore in CHORES:
            if self._wake_at(chore) <= now:
                self._done[chore] = now
                if chore.due:
                    self._ask_at = self._asked + TICK  # for what is left of it, and what came of it
                _do(chore)
        return min(self._ask_at, *map(self._wake_at, CHORES))

    def _ask(self, now: float) -> None:
        self._asked, self._ask_at = now, now + settings.CLOCK_LOOK_SECONDS
        try:
            seconds = due_in()
        except Exception as error:
            if passes(error):
                raise
            log.exception("the clock cannot tell what is due")
            seconds = [0.0] * len(SLEEPING)  # then everything is looked for
        for chore, left in zip(SLEEPING, seconds, strict=True):
            self._due[chore] = now + AT_LEAST if left is None else now + left + SLACK

    def _wake_at(self, chore: Chore) -> float:
        done = self._done.get(chore)
        if done is None:
            return 0.0
        return max(done + chore.every, min(self._due[chore], done + AT_LEAST) if chore.due else 0.0)

    def _sleep(self, until: float) -> None:
        """Until then, until something rings or the process is to end."""
        assert connection.connection is not None
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            with connection.wrap_database_errors:
                if list(connection.connection.notifies(timeout=min(left, HEARS), stop_after=1)):
                    list(connection.connection.notifies(timeout=0))
                    self._ask_at = self._asked + TICK
                    return


def _do(chore: Chore) -> None:
    try:
        chore.work()
    except Exception as error:
        if is_away(error):
            raise
        if passes(error):
            log.warning("the clock's %s comes again: %s", chore.work.__name__, error)
        else:
            log.exception("the clock's %s failed", chore.work.__name__)

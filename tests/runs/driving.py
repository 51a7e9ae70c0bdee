"""Driving runs inside a test: the product's own drive loop, started and stopped by the test."""

import asyncio
import atexit
import contextvars
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from django.contrib.postgres.functions import TransactionNow
from django.db import connection, connections
from django.db.models import F
from django.utils import timezone

from runs.driving import leases
from runs.driving.disk_watch import DiskWatch
from runs.driving.drive import Drive
from runs.models import Run, RunEvent, Worker
from tests.cast import Api


class Inline:
    """A host that drives leased runs until they end, wait or park; database work runs in the test's own thread."""

    name = "test-worker"
    disk = DiskWatch()

    async def db(self, work: Callable[..., Any], *args: Any) -> Any:
        """Called directly: no thread to hop to and back. Django refuses that to a thread whose event loop runs."""
        loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return work(*args)
        finally:
            asyncio._set_running_loop(loop)

    async def wait_for_bell(self, run_id: str, seconds: float) -> bool:
        return False


class Once(Drive):
    """A drive that parks a waiting run at once instead of staying attached for the hot window."""

    async def _hot_window(self) -> float:
        return 0.0


def go(drive: Drive) -> bool:
    """Drive a run until it ends, waits or parks."""
    return _loop().run(drive.go(), context=contextvars.copy_context())


@functools.cache
def _loop() -> asyncio.Runner:
    """One for all tests of the process."""
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner


def drive_all(rounds: int = 20) -> None:
    """Claim and drive whatever can go on, until nothing can. Waiting runs are left parked."""
    for _ in range(rounds):
        claimed = leases.claim(Inline.name, 50)
        if not claimed:
            return
        for run_id, epoch in claimed:
            go(Once(Inline(), run_id, epoch))
            leases.let_go(run_id, Inline.name, epoch)


class _Killed(BaseException):
    """The worker died here: nothing after it runs."""


class Dying(Inline):
    """A worker that dies as it is about to do its n-th piece of database work of that name ("write_outcome", "ask")."""

    def __init__(self, at: str, nth: int = 1) -> None:
        self.at, self.left = at, nth

    async def db(self, work: Callable[..., Any], *args: Any) -> Any:
        if work.__name__ == self.at:
            self.left -= 1
            if self.left == 0:
                raise _Killed
        return await super().db(work, *args)


class Falling(Inline):
    """A worker that dies right after its n-th commit that matters, or its n-th of these."""

    COMMITS = frozenset({
        "load", "thought", "write_intent", "write_outcome", "ask", "ask_before", "ask_for_plan", "busy", "ask_about_model",
        "budget_reached", "note_calls", "end",
    })  # fmt: skip

    def __init__(self, nth: int, *these: str) -> None:
        self.left = nth
        self.last = ""
        self.commits = frozenset(these) or self.COMMITS

    async def db(self, work: Callable[..., Any], *args: Any) -> Any:
        result = await super().db(work, *args)
        self.last = work.__name__
        self.left -= self.last in self.commits
        if self.left == 0 and self.last in self.commits:
            raise _Killed
        return result


def drive_and_fall(host: Falling | Dying) -> None:
    """Drive what can go on until it waits or ends, or the worker dies; then its lease runs out."""
    for run_id, epoch in leases.claim("falling-worker", 50):
        try:
            go(Once(host, run_id, epoch))
        except _Killed:
            expire_lease(run_id)
        else:
            leases.let_go(run_id, "falling-worker", epoch)


def drive_and_die(at: str, nth: int = 1) -> str:
    """Claim the next run, drive it until the worker dies, and let the lease run out. Returns the run's id."""
    doomed = "doomed-worker"  # the next one is another: a worker that claims its own run again was not lost
    ((run_id, epoch),) = leases.claim(
        f"second-{doomed}" if Run.objects.filter(lease_owner=doomed).exists() else doomed, 1
    )
    try:
        go(Once(Dying(at, nth), run_id, epoch))
    except _Killed:
        expire_lease(run_id)
        return run_id
    raise AssertionError(f"The worker never came to {at}.")


def expire_lease(run_id: str, seconds: float = 30) -> None:
    """By the clock that claims go by: inside a test it stands at the begin of the test's transaction, however long that takes."""
    Run.objects.filter(id=run_id).update(lease_until=TransactionNow() - timedelta(seconds=seconds))


def work_until(done: Callable[[], bool], name: str, seconds: float = 20) -> None:
    """A worker in a thread of its own: claims and drives one run at a time until `done()`. Closes its connections."""
    hand = ThreadPoolExecutor(1)

    class Hand(Inline):
        async def db(self, work: Callable[..., Any], *args: Any) -> Any:
            return await asyncio.get_running_loop().run_in_executor(hand, work, *args)

    end = time.monotonic() + seconds
    try:
        while not hand.submit(done).result():
            for run_id, epoch in hand.submit(leases.claim, name, 1).result():
                asyncio.run(Once(Hand(), run_id, epoch).go())
                hand.submit(leases.let_go, run_id, name, epoch).result()
            assert time.monotonic() < end, "The runs did not end in time."
    finally:
        hand.submit(connections.close_all).result()
        hand.shutdown()


def worker_is_there() -> None:
    """A heartbeat, as if a worker process ran somewhere."""
    now = timezone.now()
    Worker.objects.update_or_create(name="somewhere", defaults={"started_at": now, "heartbeat_at": now})


# --- calls and reading


def begin(api: Api, task: str = "do it", **fields: Any) -> dict[str, Any]:
    """A new run."""
    answer = api.post("/runs", {"task": task, **fields})
    assert answer.status_code == 200, answer.content
    return answer.json()


def ended(api: Api, task: str = "do it", **fields: Any) -> dict[str, Any]:
    """A run that was driven as far as it goes."""
    made = begin(api, task, **fields)
    drive_all()
    return show(api, made["id"])


def waiting(api: Api, task: str = "x [pause]", **fields: Any) -> dict[str, Any]:
    """A run that waits for a person."""
    run = ended(api, task, **fields)
    assert run["status"] == "awaiting_human", run
    return run


def show(api: Api, run_id: str) -> dict[str, Any]:
    answer = api.get(f"/runs/{run_id}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def request_of(api: Api, run: dict[str, Any]) -> dict[str, Any]:
    """The open request of a waiting run."""
    (approval_id,) = show(api, run["id"])["open_approvals"]
    return api.get(f"/approvals/{approval_id}").json()


def simulated(api: Api, name: str = "m") -> str:
    """A simulated machine of the API client's world."""
    answer = api.post("/machines", {"display_name": name, "kind": "simulated"})
    assert answer.status_code in (200, 201), answer.content
    return str(answer.json()["id"])


def log(run_id: str) -> list[tuple[str, dict[str, Any]]]:
    return list(RunEvent.objects.filter(run_id=run_id).order_by("seq").values_list("type", "data"))


def kinds(run_id: str) -> list[str]:
    """The log in short: types, and for status the word."""
    return [data["status"] if kind == "status" else kind for kind, data in log(run_id)]


def data_of(run_id: str, kind: str) -> list[dict[str, Any]]:
    return [data for each, data in log(run_id) if each == kind]


def shift(run_id: str, seconds: float) -> None:
    """Let time pass for a run and its requests: every moment of theirs moves into the past."""
    from approvals.models import Approval

    past = timedelta(seconds=seconds)
    names = ("created_at", "started_at", "awaiting_human_since", "deadline_at", "parked_at")
    Run.objects.filter(id=run_id).update(**{name: F(name) - past for name in names})
    names = ("created_at", "expires_at", "remind_at")
    Approval.objects.filter(run_id=run_id).update(**{name: F(name) - past for name in names})


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The condition's first true value. Fails when it stays false for `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"Still not so after {seconds} s: {condition}")
        time.sleep(0.01)


def status_of(run_id: str) -> str:
    return Run.objects.values_list("status", flat=True).get(id=run_id)


def someone_waits_for_a_lock() -> bool:
    """Somebody else's statement waits for a row of ours."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        return cursor.fetchone() is not None

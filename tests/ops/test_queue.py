"""The cluster of workers, as real processes on the tests' PostgreSQL."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from config import queue
from config.own_processes import command_of, wait_until
from config.queue import DoorbellBroker, ProcessLock

SECOND = timedelta(seconds=1)
ROOT = Path(__file__).resolve().parents[2]


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in text.read_text().split()] if text.exists() else []


def marks(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def cluster(database_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py qcluster` with two workers, ready for work."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "qcluster", "--skip-checks"],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database_url, "COUNTERSIGN_PROCESS": "worker", "WORKERS": "2"},
        start_new_session=True,
    )
    try:
        async_task("tests.ops.tasks.mark", str(tmp_path / "ready"), "ready")
        assert wait_until(lambda: (tmp_path / "ready").exists() or process.poll() is not None, 20)
        assert process.poll() is None
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
        process.wait(5)


def test_a_task_starts_soon_after_it_was_queued(cluster: subprocess.Popen[bytes], tmp_path: Path) -> None:
    path, queued = tmp_path / "marks", []
    for number in range(50):
        queued.append(time.time())
        async_task("tests.ops.tasks.mark", str(path), str(number))
        assert wait_until(lambda: len(marks(path)) > number, 5, pause=0.001)  # noqa: B023
    waits = sorted(float(started) - at for at, (_, started, _) in zip(queued, marks(path), strict=True))
    assert waits[len(waits) // 2] < 0.1  # polling would need 0.2 s


@pytest.mark.usefixtures("transactional_db")
def test_a_task_queued_in_a_transaction_that_fails_was_never_queued() -> None:
    with transaction.atomic():
        async_task("tests.ops.tasks.mark", "/nowhere", "never")
        assert OrmQ.objects.count() == 1
        transaction.set_rollback(True)
    assert OrmQ.objects.count() == 0


@pytest.mark.slow
@pytest.mark.chaos
def test_the_cluster_goes_on_when_idle_workers_are_killed(cluster: subprocess.Popen[bytes], tmp_path: Path) -> None:
    path, (sentinel,) = tmp_path / "marks", children(cluster.pid)
    monitor_and_pusher = children(sentinel)[2:]
    for number in range(12):
        killed = set(children(sentinel)).difference(monitor_and_pusher)
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        assert wait_until(lambda: not any(map(command_of, killed)), 10)  # noqa: B023
        async_task("tests.ops.tasks.mark", str(path), str(number))
        assert wait_until(lambda: any(mark[0] == str(number) for mark in marks(path)), 10)  # noqa: B023
    assert cluster.poll() is None


def test_nothing_outlives_a_killed_cluster(cluster: subprocess.Popen[bytes]) -> None:
    (sentinel,) = children(cluster.pid)
    everyone = [cluster.pid, sentinel, *children(sentinel)]
    assert len(everyone) == 6
    cluster.kill()
    assert wait_until(lambda: not any(command_of(pid)[0] for pid in everyone if command_of(pid)), 5)


@pytest.mark.slow
def test_the_queue_survives_the_loss_of_its_connections(cluster: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    async_task("tests.ops.tasks.mark", str(tmp_path / "after"), "after")
    assert wait_until((tmp_path / "after").exists, 5)


@pytest.mark.parametrize("seconds", [0, 2])
def test_what_nobody_rings_for_is_done(cluster: subprocess.Popen[bytes], tmp_path: Path, seconds: int) -> None:
    """A task whose ring was lost, and one whose worker died: its time to be tried again has come."""
    with transaction.atomic():
        async_task("tests.ops.tasks.mark", str(tmp_path / "after"), "after")
        queued = OrmQ.objects.latest("id")
        queued.delete()  # what this rings for is gone
    OrmQ.objects.create(key="countersign", payload=queued.payload, lock=timezone.now() + seconds * SECOND)
    assert wait_until((tmp_path / "after").exists, 20)


def test_a_quiet_queue_is_looked_at_when_a_retry_is_due_and_now_and_then(database_url: str) -> None:
    broker, looks = DoorbellBroker(), []
    claim = broker._claim

    def counted(doorbell: Any) -> list[tuple[int, str]]:
        looks.append(time.monotonic())
        return claim(doorbell)

    broker._claim = counted  # type: ignore[method-assign]
    assert [broker.dequeue() for _ in range(3)] == [[], [], []]
    assert len(looks) == 1
    assert looks[0] < broker._look_at - queue.LOOK_SECONDS + 1
    OrmQ.objects.create(key="countersign", payload="a task in the hands of a worker", lock=timezone.now() + 3 * SECOND)
    broker._look_at = 0.0
    assert broker.dequeue() == []
    assert broker._look_at < looks[-1] + 3 + 2 * queue.RETRY_SLACK  # not only after LOOK_SECONDS
    assert wait_until(lambda: bool(broker.dequeue()), 20)
    assert len(looks) == 3
    assert broker._doorbell is not None
    broker._doorbell.close()


def test_a_lock_is_free_when_its_holder_was_killed() -> None:
    lock = ProcessLock()
    holder = os.fork()
    if holder == 0:
        lock.acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(holder, 0)
    assert lock.acquire(timeout=0)
    other = os.fork()
    if other == 0:
        os._exit(7 if lock.acquire(block=False) else 0)
    assert os.waitpid(other, 0)[1] == 0

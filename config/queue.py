"""django-q2 on PostgreSQL: a queue that rings instead of polling, and a cluster that survives kill -9 of a worker."""

import fcntl
import importlib
import multiprocessing
import multiprocessing.sharedctypes
import multiprocessing.util
import os
import pickle
import select
import socket
import time
from types import TracebackType
from typing import Any

import psycopg
from django.conf import settings
from django_q import cluster
from django_q.brokers.orm import ORM
from django_q.conf import Conf, logger
from django_q.models import OrmQ
from django_q.signals import post_spawn
from psycopg import sql

from config.own_processes import die_with_parent
from database.listening import own_connection
from database.sql import prepared
from machines.processes.nodes import node_key, this_node

CHANNEL = "django_q"
LONGEST_WAIT = 0.5  # seconds; then the wish to stop is seen
LOOK_SECONDS = 5.0  # so often the table is looked at although nothing rang
RETRY_SLACK = 0.1  # seconds: the retry time has passed when it is looked at, or another process has the task in hand
DRAIN_SECONDS = 4.0
MOST_BYTES = 256 * 1024  # of one packet: more than a socket takes
TASK_BYTES = 2048  # that a task of ours, which carries ids only, costs in a socket
TABLE = sql.Identifier(OrmQ._meta.db_table)

ENQUEUE = """
WITH task AS (INSERT INTO django_q_ormq (key, payload, lock) VALUES (%(key)s, %(task)s, now()) RETURNING id)
SELECT id, pg_notify(%(channel)s, '') FROM task
"""
CLAIM = sql.SQL(
    "UPDATE {0} SET lock = now() + make_interval(secs => %s) WHERE id IN "
    "(SELECT id FROM {0} WHERE key = ANY(%s) AND lock <= now() ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) "
    "RETURNING id, payload"
).format(TABLE)
NEXT_RETRY = sql.SQL("SELECT extract(epoch FROM min(lock) - now())::float8 FROM {0} WHERE key = ANY(%s)").format(TABLE)


class DoorbellBroker(ORM):  # type: ignore[misc]  # django-q2 has no types
    """The ORM broker without its polling: who queues rings after the commit, who fetches sleeps in LISTEN.

    Brokers are inherited by forked processes, so each process that fetches opens one connection of its own, on which it
    both claims and listens. When the database goes away, fetching waits for its return. The table is looked at when something
    rang, when the retry time of a task has come, and every LOOK_SECONDS.
    """

    _doorbell: psycopg.Connection[tuple[int, str]] | None = None
    _pid = 0
    _look_at = 0.0

    def enqueue(self, task: str) -> int:
        """Queue within the caller's transaction: the row and the ring are there with its commit, or never."""
        queued = prepared(ENQUEUE, {"key": self.list_key or Conf.CLUSTER_NAME, "task": task, "channel": CHANNEL})
        assert queued is not None
        return int(queued[0])

    def dequeue(self) -> list[tuple[int, str]]:
        try:
            doorbell = self._listening()
            if time.monotonic() >= self._look_at and (tasks := self._claim(doorbell)):
                return tasks
            wait = max(0.0, min(LONGEST_WAIT, self._look_at - time.monotonic()))
            return self._claim(doorbell) if list(doorbell.notifies(timeout=wait, stop_after=1)) else []
        except psycopg.OperationalError as error:
            logger.warning("The queue waits for the database: %s", error)
            if self._doorbell is not None:
                self._doorbell.close()
                self._doorbell = None
            time.sleep(LONGEST_WAIT)  # between two attempts to connect
            return []

    def _listening(self) -> psycopg.Connection[tuple[int, str]]:
        """LISTEN comes before the first look: a task queued in between rings."""
        if self._doorbell is None or self._pid != os.getpid():
            self._doorbell = own_connection()
            self._doorbell.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            self._pid = os.getpid()
            self._look_at = 0.0
        return self._doorbell

    def _claim(self, doorbell: psycopg.Connection[tuple[int, str]]) -> list[tuple[int, str]]:
        """Tasks, and where there are none when to look again."""
        keys = [self.list_key, node_key(this_node())]  # what anybody may do, and what only this node can
        tasks = doorbell.execute(CLAIM, [Conf.RETRY, keys, Conf.BULK]).fetchall()
        self._look_at = 0.0
        if not tasks:
            row = doorbell.execute(NEXT_RETRY, [keys]).fetchone()
            retry = float(row[0]) if row is not None and row[0] is not None else LOOK_SECONDS
            self._look_at = time.monotonic() + min(LOOK_SECONDS, max(0.0, retry) + RETRY_SLACK)
        return tasks


class ProcessLock:
    """A lock between forked processes that the kernel frees when its holder dies.

    multiprocessing's locks stay taken for ever after kill -9. flock() belongs to an opened file, so each process
    opens the shared, nameless file anew. Not a lock between the threads of one process.
    """

    def __init__(self) -> None:
        self._shared = os.memfd_create("queue-lock")
        self._own, self._pid = -1, 0

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        try:
            fcntl.flock(self._file(), fcntl.LOCK_EX | (0 if block and timeout is None else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        fcntl.flock(self._file(), fcntl.LOCK_UN)

    def _file(self) -> int:
        if self._pid != os.getpid():
            if self._own >= 0:  # inherited: our parent's hold on the lock must not live on in us
                os.close(self._own)
            self._own = os.open(f"/proc/self/fd/{self._shared}", os.O_RDWR | os.O_CLOEXEC)
            self._pid = os.getpid()
        return self._own

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def __del__(self) -> None:
        os.close(self._shared)
        if self._own >= 0:
            os.close(self._own)


class SharedNumber:
    """What django-q2 wants of `multiprocessing.Value`, under a ProcessLock."""

    def __init__(self, code: str, value: float) -> None:
        self._number: Any = multiprocessing.sharedctypes.RawValue(code, value)
        self._lock = ProcessLock()

    def get_lock(self) -> ProcessLock:
        return self._lock

    @property
    def value(self) -> Any:
        return self._number.value

    @value.setter
    def value(self, value: float) -> None:
        self._number.value = value


class PacketQueue:
    """django-q2's queue between its processes: a socket that hands over whole packets, and no locks.

    With multiprocessing's queue a worker that is killed while it reads leaves a lock taken, or half a message in the
    pipe, and the cluster stands still. Here it takes one packet with it at most; the broker hands that task out again.
    """

    def __init__(self, maxsize: int = 0) -> None:
        self._reader, self._writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if maxsize:  # put() waits when so many tasks stand in the socket, and others can have them
            self._writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, maxsize * TASK_BYTES)

    def put(self, item: object) -> None:
        self._writer.send(pickle.dumps(item))

    def get(self) -> Any:
        return pickle.loads(self._reader.recv(MOST_BYTES))  # noqa: S301  written by our own processes

    def empty(self) -> bool:
        return not select.select([self._reader], [], [], 0)[0]

    def qsize(self) -> int:
        return int(not self.empty())

    def close(self) -> None:
        """Nothing to do: what was put is in the socket already."""

    def join_thread(self) -> None:
        """There is no thread."""


def install() -> None:
    """Make django-q2's cluster use the above; called once at start-up by config/apps.py, before any process forks."""
    cluster.Queue = PacketQueue
    cluster.Value = SharedNumber
    multiprocessing.util.register_after_fork(install, _die_with_cluster)
    post_spawn.connect(_host_run_loop)
    if settings.PROCESS == "worker":  # loaded before the workers fork: they share its memory and start at once
        importlib.import_module("runs.driving.loop")


def _die_with_cluster(_: object) -> None:
    """In every process that multiprocessing forks: sentinel, workers, pusher and monitor end with their parent."""
    die_with_parent()
    parent = multiprocessing.parent_process()
    if parent and os.getppid() != parent.pid:
        os._exit(1)


def _host_run_loop(**_: object) -> None:
    """In every worker, before its first task: the run loop starts, and is drained when the worker is told to end."""
    from runs.driving.loop import start_run_loop, stop_run_loop

    start_run_loop()
    multiprocessing.util.Finalize(None, stop_run_loop, args=[DRAIN_SECONDS], exitpriority=50)

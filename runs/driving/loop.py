"""The run loop: one asyncio loop in a thread of each worker process drives many runs at once.

It claims runnable runs in batches under leases, renews its leases with one statement, and is woken three ways: by NOTIFY from
the transaction that made a run runnable, by the queued task, and by a sweep that finds whatever a bell missed.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
from django.conf import settings
from django.db import close_old_connections

from database.listening import parameters
from database.outages import is_full, is_locked, passes
from inference.calls import calling
from runs.driving import leases
from runs.driving.disk_watch import DiskWatch
from runs.driving.drive import Drive

log = logging.getLogger(__name__)
T = TypeVar("T")
BATCH = 8
REACH_MS = 50  # the longest pause between two batches of one claim
DB_PATIENCE = 30.0  # seconds that a write waits for the database to come back
DRAIN_SECONDS = 4.0
CUT_OFF_SECONDS = 0.5  # then what is still at work is cut off, and may say what it was

_loop: "RunLoop | None" = None
# When, after a trouble of the database, whoever lives has had time to renew its leases: they may have run out although nobody
# died, and who took the runs up before would take them from the living.
_settled_at = 0.0


class RunLoop:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.name = f"{socket.gethostname()[:32]}:{self.pid}:{int(time.time())}"
        self.driving: dict[str, tuple[Drive, asyncio.Task[None]]] = {}
        self.bells: dict[str, asyncio.Event] = {}
        self.ready = threading.Event()
        self.draining = False
        self.disk = DiskWatch()
        self.threads = ThreadPoolExecutor(settings.RUN_LOOP_THREADS, thread_name_prefix="run-db")
        self.thread = threading.Thread(target=self._run, name="run-loop", daemon=True)
        self.thread.start()
        self.ready.wait(10)

    def _run(self) -> None:
        asyncio.run(self._main())

    # --- what a driven run needs (runs.driving.drive.Host)

    async def db(self, work: Callable[..., T], *args: Any) -> T:
        """Run synchronous database work in one of this process's few connections; waits for a database that restarts, and for
        room on its disk."""
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self.threads, _patiently, work, *args)
            except Exception as error:
                if not is_full(error):
                    raise
                self.disk.refused()
            await self.disk.until_room()

    async def wait_for_bell(self, run_id: str, seconds: float) -> bool:
        bell = self.bells[run_id]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await bell.wait()
        rang = bell.is_set()
        bell.clear()
        return rang

    # --- the loop itself

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.claim_bell = asyncio.Event()
        self.stopped = asyncio.Event()
        self.claim_bell.set()
        self.ready.set()
        background = [asyncio.create_task(work()) for work in (self._listen, self._claim_forever, self._renew_forever)]
        await self.stopped.wait()
        for task in background:
            task.cancel()
        await self._drain()

    def ring(self, run_id: str = "") -> None:
        """From any thread: this run can go on; without a name: look for runnable runs."""
        self.loop.call_soon_threadsafe(self._wake, run_id)

    async def _listen(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(**parameters(), autocommit=True) as listener:
                    await listener.execute("LISTEN run_wake")
                    self._wake_all()  # whatever rang while nobody listened
                    async for notice in listener.notifies():
                        self._wake(notice.payload)
            except (psycopg.Error, OSError):
                await asyncio.sleep(0.2)

    def _wake(self, run_id: str) -> None:
        bell = self.bells.get(run_id)
        if bell is not None:
            bell.set()
        else:
            self.claim_bell.set()

    def _wake_all(self) -> None:
        self.claim_bell.set()
        for bell in self.bells.values():
            bell.set()

    async def _claim_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(settings.LEASE_SECONDS / 3):
                    await self.claim_bell.wait()
            self.claim_bell.clear()
            try:
                await self._claim()
            except Exception:
                log.exception("claiming runs failed")
                await asyncio.sleep(0.5)

    async def _claim(self) -> None:
        while not self.draining and not self.disk.full() and time.monotonic() >= _settled_at:
            free = min(settings.RUN_LOOP_CAPACITY - len(self.driving), BATCH)
            if free <= 0:
                return
            claimed = await self.db(leases.claim, self.name, free)
            for run_id, epoch in claimed:
                self._take(run_id, epoch)
            if len(claimed) < free:
                return
            await asyncio.sleep(min(len(self.driving), REACH_MS) / 1000)  # who drives less takes the next batch

    def _take(self, run_id: str, epoch: int) -> None:
        if run_id in self.driving:  # our own lease ran out while the database was away
            self.driving.pop(run_id)[1].cancel()
        drive = Drive(self, run_id, epoch)
        self.bells[run_id] = asyncio.Event()
        task = asyncio.create_task(self._drive(drive))
        self.driving[run_id] = (drive, task)

    async def _drive(self, drive: Drive) -> None:
        whole = False
        try:
            whole = await drive.go()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("driving %s failed; its lease runs out and it is taken up again", drive.run_id)
        finally:
            held = self.driving.get(drive.run_id)
            if held is not None and held[0] is drive:
                del self.driving[drive.run_id]
                del self.bells[drive.run_id]
        if whole:
            await self.db(leases.let_go, drive.run_id, self.name, drive.epoch)
            self.claim_bell.set()

    async def _renew_forever(self) -> None:
        for beat in itertools.count():
            if self.driving or beat % 2 == 0:  # without a run there is only the heartbeat, which may be twice as slow
                with contextlib.suppress(Exception):
                    lost = await self.db(leases.renew, self.name, list(self.driving), self.disk.full())
                    for run_id in lost:
                        self._drop(run_id)
            await asyncio.sleep(settings.LEASE_SECONDS / 4)

    def _drop(self, run_id: str) -> None:
        """The run ended or is somebody else's: stop its coroutine wherever it is, then confirm the stop."""
        held = self.driving.get(run_id)
        if held is None:
            return
        held[1].cancel()
        drive = held[0]

        async def confirm() -> None:
            await asyncio.wait([held[1]])
            await self.db(leases.let_go, drive.run_id, self.name, drive.epoch)

        self._confirming = asyncio.create_task(confirm())

    # --- the end of the process

    async def _drain(self) -> None:
        """Finish the step in hand, give leases back."""
        tasks = [task for _, task in self.driving.values()]
        for drive, _ in self.driving.values():
            drive.draining = True
        for bell in self.bells.values():
            bell.set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CUT_OFF_SECONDS)
        with contextlib.suppress(Exception):
            await self.loop.run_in_executor(self.threads, leases.retire, self.name)
        with contextlib.suppress(Exception):  # connections to models are left open for the next call
            async with asyncio.timeout(CUT_OFF_SECONDS):
                await calling.close()
        self.threads.shutdown(wait=False)

    def stop(self, timeout: float) -> None:
        if os.getpid() != self.pid or not self.thread.is_alive():
            return
        self.draining = True
        self.loop.call_soon_threadsafe(self.stopped.set)
        self.thread.join(timeout)


def _patiently(work: Callable[..., T], *args: Any) -> T:
    """Do the work; when the connection broke, or another one holds a row, do it again. Every work here may be repeated."""
    global _settled_at  # noqa: PLW0603 - of the process, as the database is
    until = time.monotonic() + DB_PATIENCE
    while True:
        try:
            return work(*args)
        except Exception as error:
            if not passes(error):
                raise
            close_old_connections()
            if not is_locked(error):
                _settled_at = time.monotonic() + settings.LEASE_SECONDS / 2
            if is_full(error) or time.monotonic() > until:
                raise
        time.sleep(0.2)  # a database that restarts says nothing when it is back


def start_run_loop() -> RunLoop:
    """The run loop of this process; started by the first call."""
    global _loop  # noqa: PLW0603 - one for each process, as the thread is
    if _loop is None or _loop.pid != os.getpid():
        _loop = RunLoop()
    return _loop


def stop_run_loop(timeout: float = DRAIN_SECONDS + 1) -> None:
    """Drain: claim no more, finish the steps in hand, give the leases back. Returns within `timeout` seconds."""
    if _loop is not None:
        _loop.stop(timeout)

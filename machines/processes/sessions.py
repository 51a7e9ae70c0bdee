"""Sessions with machines: attach, and start a process that died. For the run loop (async) and for the doors (sync)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from django.db import connections

from database.sql import give_back_connection
from machines.drivers.base import MachineGone, MachineSpec, Session
from machines.drivers.registry import driver_for
from machines.drivers.simulated import SimulatedSession
from machines.drivers.within import within
from machines.errors import MachineTimeout, MachineUnavailable
from machines.models import Machine, MachineStatus
from machines.processes.lifecycle import STARTS, Facts, Occupied, bring_up, facts, look_up, not_up, note_begun
from machines.processes.nodes import require_here

ATTACH_SECONDS = 15.0
ATTEMPTS = 3
BUSY_SECONDS = 40.0  # how long to wait while somebody else starts the machine
T = TypeVar("T")

# Threads with a database connection of their own: callers may sit in an event loop or inside a transaction.
_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="machines")


@dataclass(frozen=True)
class Connected:
    """A session with a machine; `restarts` tells whether it is still the process that somebody saw before."""

    session: Session
    restarts: int
    spec: MachineSpec
    begun_for: str | None = None  # the run that it was made ready for


def simulated_machine(width: int = 1280, height: int = 800) -> Connected:
    """A session with no machine behind it: every action succeeds at once."""
    spec = MachineSpec("", "simulated", Path(), width, height)
    return Connected(SimulatedSession(spec), 0, spec)


async def _aside(function: Callable[[str], T], machine_id: str) -> T:
    """In a thread that opens a database connection for this and closes it."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _with_own_connection, function, machine_id)


async def open_session(machine_id: str, ask: Callable[..., Awaitable[Facts]] = _aside) -> Connected:
    """Attach to the machine; when its process died, start it again first. Close the session when done.

    `ask(function, machine_id)` reads from the database: a caller who has connections at hand saves opening one.
    Works in any process and event loop. Raises MachineUnavailable when it is not meant to run or will not start.
    """
    now = await ask(look_up, machine_id)
    try:
        return await attach(now)
    except MachineGone:
        return await attach_again(await _aside(_revived, machine_id))


async def open_for_run(machine_id: str, run_id: str, ask: Callable[..., Awaitable[Any]]) -> Connected:
    """As open_session(), for a run: one that is new to the machine finds it made ready. Of a workflow's tasks, the first is.

    A browser that cannot be made ready is started anew.
    """
    connected = await open_session(machine_id, ask)
    if connected.begun_for == run_id:
        return connected
    try:
        await connected.session.begin()
    except MachineGone:
        with suppress(MachineGone):
            await connected.session.close()
        anew = partial(_revived, instead_of=connected.restarts)
        connected = await attach_again(await _aside(anew, machine_id))
    await ask(note_begun, machine_id, run_id)
    return connected


async def attach(now: Facts) -> Connected:
    """Raises MachineGone when the process is not there, MachineUnavailable when it is not meant to be, MachineElsewhere."""
    require_here(now.node)
    if now.status in {MachineStatus.CREATING, MachineStatus.STARTING}:
        raise MachineGone("The machine is starting.")
    if now.status != MachineStatus.RUNNING:
        raise not_up(now)
    try:
        session = await within(ATTACH_SECONDS, driver_for(now.driver).attach(now.spec, now.handle, stands=now.halted))
    except (TimeoutError, OSError) as error:
        raise MachineGone("The machine does not answer.") from error
    return Connected(session, now.restarts, now.spec, now.begun_for)


async def attach_again(now: Facts) -> Connected:
    """A machine that is known to live, on a computer that may be busy."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await attach(now)
        except MachineGone as error:
            if attempt == ATTEMPTS:
                raise MachineUnavailable(f"The machine was started again but does not answer: {error}") from error
    raise AssertionError  # the loop returns or raises


def _with_own_connection(function: Callable[[str], T], machine_id: str) -> T:
    try:
        return function(machine_id)
    finally:
        connections.close_all()


def _revived(machine_id: str, instead_of: int | None = None) -> Facts:
    """The machine with a living process; failed starts are repeated until they count as an error."""
    for attempt in range(1, STARTS + 1):
        try:
            return bring_up(machine_id, BUSY_SECONDS, instead_of=instead_of)
        except Occupied as error:
            raise MachineUnavailable("The machine is being started or ended by somebody else.") from error
        except MachineUnavailable:
            if attempt == STARTS or look_up(machine_id).status != MachineStatus.STARTING:
                raise
    raise AssertionError  # the loop returns or raises


class ThreadSession:
    """A session that a request's thread uses."""

    def __init__(self, runner: asyncio.Runner, session: Session) -> None:
        self._runner = runner
        self._session = session

    def do(self, use: Callable[[Session], Awaitable[T]], timeout: float) -> T:
        """Run `use(session)`, at most `timeout` seconds. Raises MachineTimeout; MachineGone when the machine died."""
        give_back_connection()
        try:
            return self._runner.run(within(timeout, use(self._session)))
        except TimeoutError as error:
            raise MachineTimeout from error

    def close(self) -> None:
        with suppress(MachineGone):
            self._runner.run(self._session.close())


@contextmanager
def session_of_thread(machine: Machine) -> Iterator[ThreadSession]:
    """A connection for as long as the block lasts. A process that died is started first. Raises MachineUnavailable."""
    now = facts(machine)
    give_back_connection()
    with asyncio.Runner() as runner:
        session = ThreadSession(runner, _connected(runner, now).session)
        try:
            yield session
        finally:
            session.close()


def _connected(runner: asyncio.Runner, now: Facts) -> Connected:
    try:
        return runner.run(attach(now))
    except MachineGone:
        revived = _threads.submit(_with_own_connection, _revived, now.id).result()
        return runner.run(attach_again(revived))


def with_session(machine: Machine, use: Callable[[Session], Awaitable[T]], timeout: float) -> T:
    """Run `use(session)` once from a request's thread. Raises as session_of_thread() and ThreadSession.do()."""
    with session_of_thread(machine) as session:
        return session.do(use, timeout)

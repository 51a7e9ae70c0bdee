"""Processes by identity: a pid alone may be reused, a pid with its start time may not.

A zombie counts as dead: where nobody reaps, `/proc/<pid>` outlives its process.
"""
# ruff: noqa: PTH123, PTH208

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from machines.drivers.within import within


@dataclass(frozen=True)
class Identity:
    """One process of this boot; `starttime` is field 22 of /proc/<pid>/stat, in clock ticks."""

    pid: int
    starttime: int


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third (state) on; raises OSError when there is no such process."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rsplit(")", 1)[1].split()


def identify(pid: int) -> Identity | None:
    """The identity of a living process."""
    try:
        fields = _stat(pid)
    except OSError:
        return None
    return None if fields[0] in "ZX" else Identity(pid, int(fields[19]))


def recorded(handle: Mapping[str, Any] | None) -> Identity | None:
    """The identity that a machine's handle holds."""
    try:
        return Identity(int((handle or {})["pid"]), int((handle or {})["starttime"]))
    except (KeyError, TypeError, ValueError):
        return None


def is_alive(identity: Identity | None) -> bool:
    return identity is not None and identify(identity.pid) == identity


def stands(identity: Identity) -> bool:
    """Somebody has stopped it (SIGSTOP): it answers nothing until it goes on."""
    with contextlib.suppress(OSError):
        return _stat(identity.pid)[0] in "Tt" and is_alive(identity)
    return False


def descendants(identity: Identity) -> list[Identity]:
    """Every living process below this one, nearest first."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children.setdefault(int(_stat(int(entry))[1]), []).append(int(entry))
            except OSError:
                continue
    below: list[Identity] = []
    queue = [identity.pid]
    while queue:
        for pid in children.get(queue.pop(0), []):
            child = identify(pid)
            queue.append(pid)
            if child:
                below.append(child)
    return below


def send(identity: Identity, signum: signal.Signals) -> int | None:
    """Signal exactly this process. Returns an open pidfd that becomes readable when it ends; None when it is gone."""
    try:
        pidfd = os.pidfd_open(identity.pid)
    except OSError:
        return None
    if not is_alive(identity):
        os.close(pidfd)
        return None
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signum)
    return pidfd


async def ended(pidfd: int, timeout: float) -> bool:
    """Wait until the process behind the pidfd has ended, at most `timeout` seconds; closes the pidfd."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(pidfd, over.set)
    try:
        await within(timeout, over.wait())
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    return True


async def wait_gone(identity: Identity, timeout: float) -> bool:
    """Wait for a process to end by itself."""
    try:
        pidfd = os.pidfd_open(identity.pid)
    except OSError:
        return True
    if not is_alive(identity):
        os.close(pidfd)
        return True
    return await ended(pidfd, timeout)


def tree(identity: Identity | None) -> list[Identity]:
    """This process and all below it; empty when it is gone."""
    return [identity, *descendants(identity)] if identity and is_alive(identity) else []


async def end_all(identities: Iterable[Identity], timeout: float = 10.0) -> bool:
    """Kill these and wait until they are gone; False when one has not at the timeout."""
    pidfds = [send(one, signal.SIGKILL) for one in identities]
    return all(await asyncio.gather(*(ended(pidfd, timeout) for pidfd in pidfds if pidfd is not None)))


async def end_tree(identity: Identity | None, timeout: float = 10.0) -> bool:
    """Kill this process and all below it and wait for each to end; False when one has not at the timeout."""
    return await end_all(tree(identity), timeout)

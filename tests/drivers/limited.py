"""Attacks of a machine on the computer that it runs on, each small enough to be tried: python -m tests.drivers.limited KIND FOLDER WHAT.

Run by a test as another user than the test's own. Prints what came of it as JSON.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from machines.drivers import guest_link
from machines.drivers.isolation import cgroups, resource_limits
from machines.drivers.places import recorded_places
from tests.drivers.conftest import Machine, spec_of

# Fork until it is refused, or 300 stand there; then say how many, and let them go.
FORKS = """
import os, signal, sys
pids = []
try:
    while len(pids) < 300:
        pid = os.fork()
        if pid == 0:
            signal.pause()
        pids.append(pid)
except OSError:
    pass
print("forked", len(pids), flush=True)
for pid in pids:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""
# Twelve processes that want 40 MB each, all at once; says how many of them stand at the end.
GREED = """
import os, signal
pids = []
for _ in range(12):
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        full = b"x" * (40 << 20)
        os.write(sink, b"!")
        signal.pause()
    os.close(sink)
    os.read(source, 1)
    pids.append(pid)
ended = [pid for pid in pids if os.waitpid(pid, os.WNOHANG)[0]]
print("kept", len(pids) - len(ended), flush=True)
for pid in set(pids) - set(ended):
    os.kill(pid, signal.SIGKILL)
"""


async def inside(machine: Machine, program: str, seconds: float = 60) -> str:
    """What a Python program says that runs in the machine, of whatever kind."""
    await asyncio.to_thread((machine.spec.folder / "home" / "attack.py").write_text, program)
    places = recorded_places(machine.spec, machine.handle)
    done = await guest_link.run(places.guest, "/usr/bin/python3 attack.py 2>&1", int(seconds * 1000), None)
    return done.output


async def attack(kind: str, folder: str, program: str) -> dict[str, Any]:
    resource_limits.PROCESSES = dict.fromkeys(resource_limits.PROCESSES, 150 if kind == "browser" else 64)
    resource_limits.SHARED = 64
    machine = Machine(spec_of(kind, Path(folder)))
    await machine.start()
    try:
        output = await inside(machine, program)
        return {"output": output, "alive": await machine.alive(), "groups": sorted(cgroups.bounds()), **machine.handle}
    finally:
        await machine.stop()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(attack(*sys.argv[1:]))))  # noqa: T201

"""python -m tests.stops.halting RECORD WHERE: a worker that halts itself (SIGSTOP) at its first live step that comes to WHERE.

hold: in the middle of the hold of a step, its transaction open. intent: its intent is committed, and nothing sent yet. none: never.
It says "halts" before it does, and works until its input ends. What simulated machines are told to do is added to the file RECORD, by
the machine itself.
"""

import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import django

BEFORE = 5  # so many steps are done without a halt


def main() -> None:
    django.setup()
    for module in ("runs.driving.loop", "runs.tasks"):
        import_module(module)
    from runs.driving.loop import start_run_loop, stop_run_loop

    _keep_record(Path(sys.argv[1]))
    {"hold": _halt_in_hold, "intent": _halt_after_intent, "none": lambda: None}[sys.argv[2]]()
    start_run_loop()
    sys.stdin.read()
    stop_run_loop()


def _halt() -> None:
    sys.stdout.write("halts\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.01)  # the signal may take a moment to reach a process of several threads


def _halt_in_hold() -> None:
    from billing import services

    hold, calls = services.hold, 0

    def held(**facts: Any) -> str:
        nonlocal calls
        hold_id = hold(**facts)
        calls += 1
        if calls == BEFORE:
            _halt()
        return hold_id

    services.hold = held


def _halt_after_intent() -> None:
    from runs.driving import drive

    write, calls = drive.write_intent, 0

    def write_intent(*args: Any) -> Any:
        nonlocal calls
        hold_id = write(*args)
        calls += 1
        if calls == BEFORE:
            _halt()
        return hold_id

    drive.write_intent = write_intent  # type: ignore[assignment]


def _keep_record(record: Path) -> None:
    from machines.drivers.base import Action, ActResult
    from machines.drivers.simulated import SimulatedSession

    act = SimulatedSession.act

    async def noted(session: SimulatedSession, action: Action) -> ActResult:
        with record.open("a") as file:
            file.write(f"{action.name}\n")
        return await act(session, action)

    SimulatedSession.act = noted  # type: ignore[method-assign]


if __name__ == "__main__":
    main()

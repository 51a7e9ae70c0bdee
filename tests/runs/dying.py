"""python -m tests.runs.dying RECORD: workers that kill themselves (SIGKILL) right after their n-th commit that matters.

For each line of its input, a number, a process is forked that drives what can go on with the product's run loop: until it dies
after so many commits, or, 0, until nothing can go on. Then a line says how it ended: -9, or how many commits it made. What
simulated machines are told to do is written to the file RECORD, by the machine itself.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import django


def main() -> None:
    django.setup()
    for module in ("anthropic", "inference.wires.anthropic", "runs.agents.model", "runs.driving.loop", "runs.tasks"):
        import_module(module)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            work(int(line), Path(sys.argv[1]))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def work(nth: int, record: Path) -> None:
    """Does not return."""
    from runs.driving.loop import RunLoop, start_run_loop, stop_run_loop
    from runs.models import Run
    from tests.runs.driving import Falling

    done, commits = RunLoop.db, 0

    async def db(loop: RunLoop, job: Callable[..., Any], *args: Any) -> Any:
        nonlocal commits
        result = await done(loop, job, *args)
        commits += job.__name__ in Falling.COMMITS
        if nth and commits == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    RunLoop.db = db  # type: ignore[method-assign,assignment]
    _keep_record(record)
    start_run_loop()
    while Run.objects.filter(status__in=("queued", "running")).exists():
        time.sleep(0.02)
    stop_run_loop()
    os._exit(commits)


def _keep_record(record: Path) -> None:
    from machines.drivers.base import Action, ActResult
    from machines.drivers.simulated import SimulatedSession

    act = SimulatedSession.act

    async def noted(session: SimulatedSession, action: Action) -> ActResult:
        with record.open("a") as file:
            file.write(json.dumps([action.name, action.params]) + "\n")
        return await act(session, action)

    SimulatedSession.act = noted  # type: ignore[method-assign]


if __name__ == "__main__":
    main()

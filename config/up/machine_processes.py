"""Machines outlive workers, so `manage.py up` ends them itself, and has them started again."""

import os
import signal
import threading
from pathlib import Path

from django.conf import settings
from django.db import connections

from config.own_processes import command_of, wait_until
from config.up.terminal import say
from machines.drivers.browser.chromium import browser_program, fetched
from machines.drivers.isolation import sandbox
from machines.drivers.isolation.fence import is_fence
from machines.tools.catalogue import CHROMIUM, unfit
from machines.tools.npm import extra_megabytes

STOP_SECONDS = 2.5


def lines(fetching: bool) -> list[str]:
    """Which kinds of machine work on this computer, in one line, said at every start; below it what to do for the others."""
    from machines.drivers.registry import driver_for

    shown, lacks = [], dict[str, None]()
    for kind in ("terminal", "browser"):
        missing = driver_for(kind).missing()
        if not missing:
            shown.append(f"{kind} ok ({held_by(kind)})")
        elif kind == "browser" and fetching:
            shown.append(f"browser fetching {CHROMIUM.megabytes + extra_megabytes()} MB …")
        else:
            shown.append(f"{kind} missing")
            lacks |= dict.fromkeys(missing)
    return [f"Machines      {' · '.join(shown)}", *(f"Missing       {sentence}" for sentence in lacks)]


def held_by(kind: str) -> str:
    """What machines of a kind that works are made of."""
    around = sandbox.describe(kind)
    program = browser_program() if kind == "browser" else None
    if program is None:
        return around
    return f"{CHROMIUM.title if program == fetched() else Path(program.path).name}, {around}"


def wants_browser() -> bool:
    """Whether there is a browser to be fetched: none works here, one could, and nobody forbids it."""
    if settings.MACHINE_FETCH == "never" or os.environ.get("MACHINE_BROWSER") or unfit() or sandbox.problem("browser"):
        return False
    return browser_program() is None


def make_machines() -> None:
    """The machines that teams wait for and that this computer can run by now."""
    from config.first_run import provide

    for machine in provide():
        say(f"{machine.display_name} is being made ({machine.id}).")


def start_machines(*, alone: bool) -> None:
    """Queue the start of every machine that ran when we last ended; workers do it. `alone`: the database is ours only."""
    from machines.processes.lifecycle import start_all
    from machines.processes.nodes import adopt_all

    if alone:
        adopt_all()
    start_all()


def stop_machines(data_dir: Path) -> None:
    """End the processes of this installation's machines; their rows stay, and the next start brings them back."""
    stopping = threading.Thread(target=_stop_known, daemon=True)
    stopping.start()
    stopping.join(STOP_SECONDS)
    wait_until(lambda: not _kill_strays(data_dir), 1)


def _stop_known() -> None:
    from machines.processes.lifecycle import stop_all_processes

    try:
        stop_all_processes()
    except Exception as error:  # noqa: BLE001  PostgreSQL must be ended whatever happens here
        say(f"Machines could not be ended: {error}")
    finally:
        connections.close_all()  # this thread's own


def _kill_strays(data_dir: Path) -> bool:
    """A machine whose start was cut short stands in no row yet; its command line names its folder."""
    strays = [
        int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _of_machine(command_of(int(entry.name)), data_dir)
    ]
    for pid in strays:
        try:  # a fence takes what is inside with it, if it is let
            os.kill(pid, signal.SIGTERM if is_fence(command_of(pid)) else signal.SIGKILL)
        except ProcessLookupError:
            continue
    return bool(strays)


def _of_machine(command: list[str], data_dir: Path) -> bool:
    if not any(f"{data_dir}/machines/" in word for word in command):
        return False
    started = [Path(command[0]).name, *command[1:7]]
    # The first is bubblewrap's, whatever its file is called; the last are our own, also those of the release before.
    return any(word in {"--die-with-parent", "tmux"} or word.startswith("machines.drivers.") for word in started)

"""Machines outlive workers, so `manage.py up` ends them itself, and has them started again."""

import os
import signal
import threading
from pathlib import Path

from django.db import connections

from config.processes import command_of, wait_until
from config.up.terminal import say
from machines.drivers.fence import MODULE as FENCE

STOP_SECONDS = 2.5


def lacks() -> list[str]:
    """What keeps machines from working on this computer, said at every start."""
    from machines.drivers.registry import KINDS, driver_for

    sentences = dict.fromkeys(sentence for kind in KINDS for sentence in driver_for(kind).missing())
    return [f"Missing       {sentence}" for sentence in sentences]


def start_machines() -> None:
    """Queue the start of every machine that ran when we last ended; workers do it."""
    from machines.lifecycle import start_all

    start_all()


def stop_machines(data_dir: Path) -> None:
    """End the processes of this installation's machines; their rows stay, and the next start brings them back."""
    stopping = threading.Thread(target=_stop_known, daemon=True)
    stopping.start()
    stopping.join(STOP_SECONDS)
    wait_until(lambda: not _kill_strays(data_dir), 1)


def _stop_known() -> None:
    from machines.lifecycle import stop_all_processes

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
            os.kill(pid, signal.SIGTERM if FENCE in command_of(pid) else signal.SIGKILL)
        except ProcessLookupError:
            continue
    return bool(strays)


def _of_machine(command: list[str], data_dir: Path) -> bool:
    ours = f"{data_dir}/machines/"
    # The first is bubblewrap's, whatever its file is called.
    keepers = {"--die-with-parent", "tmux", "machines.drivers.host", "machines.drivers.screens.keeper", FENCE}
    return any(ours in word for word in command) and not keepers.isdisjoint({Path(command[0]).name, *command[1:7]})

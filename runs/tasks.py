"""Queued work of runs. A task takes ids, may run twice, and does nothing when its turn has passed."""

from runs import handling, services
from runs.driving.loop import start_run_loop


def drive(run_id: str) -> None:
    """Hand a run to the run loop of this process: a doorbell, the loop claims what can go on."""
    start_run_loop().ring(run_id)


def machine_ready(machine_id: str) -> None:
    """A machine became free: whoever waits for it may start."""
    start_run_loop().ring()


def machine_gone(machine_id: str, run_id: str | None = None) -> None:
    """A machine will not come back: its runs fail."""
    services.machine_gone(machine_id, run_id)


def member_changed(team_id: str, user_id: str) -> None:
    """A person left the team or has other roles: what they may no longer decide is free for others."""
    handling.hand_back(team_id, user_id)

"""Queued work of runs. A task takes ids, may run twice, and does nothing when its turn has passed."""

from approvals.tasks import member_changed
from runs import services
from runs.driving.loop import start_run_loop

__all__ = ["drive", "machine_gone", "machine_ready", "member_changed"]  # the last under its old name, for one release


def drive(run_id: str) -> None:
    """Hand a run to the run loop of this process: a doorbell, the loop claims what can go on."""
    start_run_loop().ring(run_id)


def machine_ready(machine_id: str) -> None:
    """A machine became free: whoever waits for it may start."""
    start_run_loop().ring()


def machine_gone(machine_id: str, run_id: str | None = None) -> None:
    """A machine will not come back: its runs fail."""
    services.machine_gone(machine_id)

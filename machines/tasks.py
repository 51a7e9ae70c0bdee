"""Work on machines that workers do. Each task reads the state and does nothing when its turn has passed."""

from contextlib import suppress

from machines.errors import MachineElsewhere, MachineUnavailable
from machines.processes import freezing, home_sizes, lifecycle

WAIT_SECONDS = 5.0  # for somebody else who is at the same machine; after that the clock tries again
LATER = (MachineUnavailable, MachineElsewhere, lifecycle.Occupied)


def start(machine_id: str) -> None:
    with suppress(*LATER):  # the machine's row says why
        lifecycle.bring_up(machine_id, WAIT_SECONDS)


def stop(machine_id: str) -> None:
    with suppress(*LATER):
        lifecycle.take_down(machine_id, WAIT_SECONDS)


def look() -> None:
    """At the machines of this node, for the clock of another one."""
    lifecycle.revive_dead()
    home_sizes.look()


def settle() -> None:
    """What stands still and what does not, of this node's machines, for processes of another one."""
    freezing.settle_here()


def terminate(machine_id: str) -> None:
    stop(machine_id)

"""The port to what works at machines: a machine's occupant, which stands still while a person controls the machine.

Machines know leases and nothing of runs: `current_run_id` is a name to them. Whoever reserves machines (services.reserve)
registers its Occupant once, when the process starts (AppConfig.ready()).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from accounts.actor import Actor
from machines.models import Machine, TakeoverLease


@dataclass(frozen=True)
class LastPicture:
    """The newest picture that an occupant took of a machine; `url` of its page."""

    url: str
    width: int
    height: int
    taken_at: datetime


class Locked(Protocol):
    """An occupant that the transaction has locked; its machine and the lease are locked after it."""

    @property
    def id(self) -> str: ...

    @property
    def status(self) -> str: ...

    def bar(self, lease: TakeoverLease) -> None:
        """A person has taken the machine. An action already sent may complete; nothing else happens before free()."""

    def free(self, lease: TakeoverLease, actor: Actor, via: str) -> None:
        """The lease has ended: `lease.end` says how. Where `lease.resumes`, the occupant goes on; what waits for the lease
        is then approved by the actor. Raises a Refusal when the actor may not."""


class Occupant(Protocol):
    """What works at machines, by its id (Machine.current_run_id, TakeoverLease.run_id)."""

    def lock(self, occupant_id: str) -> Locked:
        """Everything that the end of a takeover changes, in the order of locks; inside atomic()."""

    def workflow_of(self, occupant_id: str) -> str | None:
        """The workflow that it is part of: a stop of the workflow holds its machine as well."""

    def last_picture(self, machine: Machine) -> LastPicture | None: ...


TYPES = ("run",)  # of occupants; a machine's is of the only one that there is
_OCCUPANTS: dict[str, Callable[[], Occupant]] = {}


def register(occupant_type: str, occupant: Callable[[], Occupant]) -> None:
    """`occupant` is called when a machine needs it: commands that need none load nothing for it."""
    if occupant_type not in TYPES:
        raise ValueError(f"{occupant_type} is no type of occupant.")
    _OCCUPANTS[occupant_type] = occupant


def occupant() -> Occupant:
    return _OCCUPANTS["run"]()


def lock(occupant_id: str | None) -> Locked | None:
    return occupant().lock(occupant_id) if occupant_id else None

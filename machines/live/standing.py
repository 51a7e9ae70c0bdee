"""Who may see a machine's screen and who may touch it, at this moment: one small statement, asked for each picture."""

from dataclasses import dataclass

from accounts.actor import Actor
from database.sql import prepared
from machines.models import MachineStatus

# Prepared: asked for each picture and each batch of input.
_STANDING = """
SELECT m.status, m.halted_at IS NOT NULL, m.restarts,
  (SELECT coalesce(max(id), 0) FROM machines_putin WHERE machine_id = m.id),
  (SELECT extract(epoch FROM now() - max(ended_at))::float8 FROM machines_takeoverlease
    WHERE machine_id = m.id AND private AND ended_at > now() - interval '1 minute'),
  l.id, l.holder->>'type', l.holder->>'id', l.holder->>'name', l.private,
  least(l.expires_at, l.idle_expires_at) > coalesce(l.stopped_at, now())
FROM machines_machine m LEFT JOIN machines_takeoverlease l ON l.machine_id = m.id AND l.ended_at IS NULL
WHERE m.id = %(machine)s
"""


@dataclass(frozen=True)
class Control:
    """The takeover of now. `lives` is False from the moment it is due to lapse."""

    lease_id: str
    holder_kind: str
    holder_id: str
    name: str
    private: bool
    lives: bool

    def is_of(self, actor: Actor | None) -> bool:
        return actor is not None and (self.holder_kind, self.holder_id) == (actor.kind, actor.id)


@dataclass(frozen=True)
class Standing:
    """`secrets`: grows with each secret that is typed on the machine, 0 without any. `private_ago`: so many seconds ago the last
    private takeover of this minute ended."""

    status: str
    halted: bool
    restarts: int
    secrets: int
    private_ago: float | None
    control: Control | None

    @property
    def shows(self) -> bool:
        """Whether there is a screen to see."""
        return self.status == MachineStatus.RUNNING and not self.halted

    def is_under(self, lease_id: str) -> bool:
        """Whether this very lease is the takeover of now."""
        return self.control is not None and self.control.lease_id == lease_id

    def hides(self, actor: Actor | None, age: float = 0.0) -> bool:
        """Whether a picture that was taken `age` seconds ago is not for this actor: a takeover was private then, or is now.

        None: somebody who has no more than a link.
        """
        if self.control is not None and self.control.private:
            return not self.control.is_of(actor)
        return self.private_ago is not None and self.private_ago <= age


def standing_of(machine_id: str) -> Standing | None:
    """None: there is no such machine."""
    row = prepared(_STANDING, {"machine": machine_id})
    if row is None:
        return None
    status, halted, restarts, secrets, private_ago, *control = row
    return Standing(status, halted, restarts, secrets, private_ago, Control(*control) if control[0] else None)

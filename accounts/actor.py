"""The actor: who calls, for which team, in which world, with which rights. A value, made once per request."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from typing_extensions import TypedDict

SCOPES = (
    "predict", "session", "ground", "parse",
    "runs:read", "runs:write",
    "workflows:read", "workflows:write",
    "approvals:read", "approvals:decide", "approvals:request", "policies:write",
    "machines:read", "machines:write", "actions:exec", "terminal:exec", "connection:read",
    "webhooks:read", "webhooks:write",
    "secrets:write",
    "usage",
    "keys", "team:read", "team:write",
)  # fmt: skip
# Of people only, by their role: take control of a machine, and act on it as long as that lasts. No key can have it.
TAKE_CONTROL = "takeover"
LIVE_DEFAULT = frozenset(
    {"predict", "session", "ground", "parse", "runs:read", "runs:write", "workflows:read", "workflows:write",
     "approvals:read", "approvals:request", "machines:read", "actions:exec"}
)  # fmt: skip
TEST_DEFAULT = frozenset(SCOPES) - {"keys", "team:write"}
_READS = frozenset(s for s in SCOPES if s.endswith(":read") and s != "connection:read")
ROLE_SCOPES: dict[str, frozenset[str]] = {
    "viewer": _READS,
    "operator": _READS
    | {"runs:write", "workflows:write", "machines:write", "actions:exec", "terminal:exec", "connection:read"},
    "approver": _READS | {"approvals:decide", TAKE_CONTROL},
    "admin": frozenset(SCOPES),
    "owner": frozenset(SCOPES),
}


def scopes_of_roles(roles: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*(ROLE_SCOPES.get(r, frozenset()) for r in roles))


class ActorId(TypedDict):
    type: str
    id: str


class ActorRef(ActorId):
    """Who did it, as it is kept: it stays when the person or key is deleted."""

    name: str


@dataclass(frozen=True)
class Actor:
    """`kind` is user, api_key or system. `owner_id` is the person behind a key (the user themself for a session)."""

    team_id: str
    test: bool
    kind: str
    id: str
    name: str
    scopes: frozenset[str]
    roles: frozenset[str] = frozenset()
    owner_id: str | None = None

    @property
    def caller(self) -> str:
        """Names the caller for idempotency and rates: a person is another caller in each team and world."""
        return self.id if self.kind != "user" else f"{self.id}:{self.team_id}:{'test' if self.test else 'live'}"

    @property
    def is_admin(self) -> bool:
        return bool(self.roles & {"admin", "owner"})

    def may(self, scope: str) -> bool:
        return scope in self.scopes

    @property
    def may_take_control(self) -> bool:
        return self.may("actions:exec") or self.may(TAKE_CONTROL)

    @property
    def named_scopes(self) -> list[str]:
        """Those that a key could have, as refusals name them."""
        return sorted(self.scopes.intersection(SCOPES))

    def ref(self) -> dict[str, Any]:
        """`{type, id, name}` as kept in decisions, audit and events; stays when the person or key is deleted."""
        return {"type": self.kind, "id": self.id, "name": self.name}


def command_line(team_id: str, test: bool = False) -> Actor:
    """Whoever may run commands on this computer, who may do everything."""
    return Actor(team_id, test, "system", "command_line", "Command line", frozenset(SCOPES))


def system(team_id: str, test: bool) -> Actor:
    """The installation itself: timers, expiry, takeover of a dead worker."""
    return Actor(team_id, test, "system", "system", "Countersign", frozenset(SCOPES))

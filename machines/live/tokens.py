"""Signed tokens that open one machine's screen without a session: for an hour, and only as long as whoever asked for them may.

Nothing of a token is kept. It ends with the key or the membership behind it, and one for control with its lease.
"""

from dataclasses import asdict, dataclass
from datetime import timedelta

from django.core import signing

from accounts.access import actor_now
from accounts.actor import Actor
from accounts.errors import InvalidApiKey

SCOPE = "connection:read"
LIFE = timedelta(minutes=60)
LONGEST = 2048  # characters
_SALT = "machines.live"


class BadToken(Exception):
    """It was not made here, or its time is over."""


@dataclass(frozen=True)
class Ticket:
    """What a token says. `lease`: it may send input while this lease lives; "" is to watch."""

    machine: str
    kind: str
    actor: str
    name: str
    team: str
    test: bool
    lease: str = ""


def issue(actor: Actor, machine_id: str, lease_id: str = "") -> str:
    ticket = Ticket(machine_id, actor.kind, actor.id, actor.name, actor.team_id, actor.test, lease_id)
    return signing.dumps(asdict(ticket), salt=_SALT)


def read(token: str) -> Ticket:
    """Raises BadToken."""
    try:
        return Ticket(**signing.loads(token[:LONGEST], salt=_SALT, max_age=LIFE))
    except (signing.BadSignature, TypeError, ValueError) as error:
        raise BadToken from error


def bearer(token: str) -> tuple[Ticket, Actor]:
    """The token and who asked for it, as they are now. Raises BadToken, also when their right is gone."""
    ticket = read(token)
    before = Actor(ticket.team, ticket.test, ticket.kind, ticket.actor, ticket.name, frozenset())
    try:
        actor = actor_now(before)
    except InvalidApiKey as error:
        raise BadToken from error
    if not actor.may(SCOPE):
        raise BadToken
    return ticket, actor

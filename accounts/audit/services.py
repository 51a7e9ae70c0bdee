"""Writing the audit."""

from typing import Any

from accounts.actor import Actor
from accounts.models import AuditEntry

OF_BOTH_WORLDS = ("team.", "member.", "group.", "invitation.", "profile.", "model.")  # no world of their own


def audit(actor: Actor, verb: str, subject: str, **data: Any) -> None:
    """One row for the audit page, in the transaction of the change; of the actor's world, or of both (OF_BOTH_WORLDS)."""
    test = None if verb.startswith(OF_BOTH_WORLDS) else actor.test
    entry = {"actor": actor.ref(), "verb": verb, "subject": subject, "data": data}
    AuditEntry.objects.create(team_id=actor.team_id, test=test, **entry)

"""Writing the audit."""

from typing import Any

from django.utils import timezone
from psycopg.types.json import Jsonb

from accounts.actor import Actor
from database.sql import prepared

OF_BOTH_WORLDS = ("team.", "member.", "group.", "invitation.", "profile.", "model.")  # no world of their own


def audit(actor: Actor, verb: str, subject: str, **data: Any) -> None:
    """One row for the audit page, in the transaction of the change; of the actor's world, or of both (OF_BOTH_WORLDS)."""
    test = None if verb.startswith(OF_BOTH_WORLDS) else actor.test
    entry = {"team": actor.team_id, "test": test, "verb": verb, "subject": subject, "now": timezone.now()}
    prepared(_AUDIT, entry | {"actor": Jsonb(actor.ref()), "data": Jsonb(data)})


_AUDIT = """
INSERT INTO accounts_auditentry (team_id, test, actor, verb, subject, data, at)
VALUES (%(team)s, %(test)s, %(actor)s, %(verb)s, %(subject)s, %(data)s, %(now)s)
"""

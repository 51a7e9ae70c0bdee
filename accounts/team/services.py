"""Changes to a team's settings."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from accounts.access import get_team, locked_team
from accounts.actor import Actor
from accounts.audit.services import audit
from accounts.models import Team
from accounts.team.rules_version import rules_changed
from web.errors import EmptyUpdate

RULING = frozenset({"risk_floor", "risk_floor_modes", "forbid_self_approval"})  # settings by which actions are judged


def update_team(actor: Actor, changes: dict[str, Any]) -> Team:
    """Change settings; `changes` holds only the fields given.

    Raises EmptyUpdate, what settings.TEAM_SETTING_GATES raise (MachineNotFound, InvalidState, Invalid), as locked_team().
    """
    if not changes:
        raise EmptyUpdate
    with transaction.atomic():
        actor = locked_team(actor, "team:write")
        for name, gate in settings.TEAM_SETTING_GATES.items():
            if changes.get(name) is not None:
                import_string(gate)(actor, changes[name])
        team = get_team(actor)
        before = {name: getattr(team, name) for name in changes}
        for name, value in changes.items():
            setattr(team, name, value)
        team.save(update_fields=list(changes))
        if changes.keys() & RULING:
            rules_changed(team.id)
        audit(actor, "team.updated", team.id, before=before, after=changes)
    return get_team(actor)

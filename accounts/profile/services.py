"""Changes that people make to their own account."""

from django.db import transaction

from accounts.actor import Actor
from accounts.audit.services import audit
from accounts.models import User


def change_own_name(actor: Actor, name: str) -> None:
    """In every team; what was written down before keeps the old name. A second call changes nothing."""
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(id=actor.id)
        before, user.name = user.name, name
        if before != name:
            user.save(update_fields=["name"])
            audit(actor, "profile.name_changed", user.id, before=before, after=name)


def change_own_password(actor: Actor, password: str) -> User:
    """Ends every session of the person, this one included unless the door keeps it: their hash stands for the password."""
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(id=actor.id)
        user.set_password(password)
        user.save(update_fields=["password"])
        audit(actor, "profile.password_changed", user.id)
        return user

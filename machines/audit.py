"""What machines add to the audit: their names."""

from collections.abc import Collection

from django.urls import reverse

from accounts.actor import Actor
from accounts.audit import things
from accounts.audit.things import Thing
from machines.access import machines_of


def register() -> None:
    things.register("mch", _machines)


def _machines(actor: Actor, ids: Collection[str]) -> dict[str, Thing]:
    page = f"{reverse('machines')}?all=1"
    return {
        row.id: Thing(row.display_name, f"{page}#machine-{row.id}") for row in machines_of(actor).filter(id__in=ids)
    }

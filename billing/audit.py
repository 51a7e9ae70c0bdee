"""What billing adds to the audit: where entries of the ledger are shown."""

from collections.abc import Collection

from django.urls import reverse

from accounts.actor import Actor
from accounts.audit import things
from accounts.audit.things import Thing


def register() -> None:
    things.register("led", _transactions)


def _transactions(actor: Actor, ids: Collection[str]) -> dict[str, Thing]:
    return dict.fromkeys(ids, Thing(href=reverse("ledger"))) if actor.may("usage") else {}

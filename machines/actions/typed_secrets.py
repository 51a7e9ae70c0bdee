"""The secrets that were typed on a machine, by whatever run: its screen may show them as long as it is there, so what is read
or drawn of it is cleared of them, for later runs and for people as well.
"""

import hmac
from collections.abc import Iterable

from cryptography.fernet import InvalidToken
from django.conf import settings

from database.sealing import seal, unseal
from machines.models import PutIn

SHORTEST = 6  # characters: shorter values stand in texts that have nothing to do with them


def remember(machine_id: str, texts: Iterable[str]) -> None:
    """Each once, sealed, until the machine is terminated."""
    rows = [
        PutIn(machine_id=machine_id, digest=_digest(text), sealed=seal(text)) for text in texts if len(text) >= SHORTEST
    ]
    if rows:
        PutIn.objects.bulk_create(rows, ignore_conflicts=True)


def texts_of(machine_id: str) -> list[str]:
    """What was typed there, oldest first; without what was sealed with another SECRET_KEY."""
    return [text for row in PutIn.objects.filter(machine_id=machine_id).order_by("id") if (text := _opened(row))]


def forget(machine_id: str) -> None:
    """The machine and its files are gone."""
    PutIn.objects.filter(machine_id=machine_id).delete()


def _opened(row: PutIn) -> str:
    try:
        return str(unseal(row.sealed))
    except InvalidToken:
        return ""


def _digest(text: str) -> str:
    return hmac.digest(settings.SECRET_KEY.encode(), text.encode(), "sha256").hex()

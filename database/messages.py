"""Messages that travel upwards: the only edge against the direction of imports (docs/architecture.md)."""

from typing import Any

from django.conf import settings
from django_q.tasks import async_task


def publish(event_type: str, *args: Any) -> None:
    """Queue every subscriber of EVENT_SUBSCRIBERS with these arguments, in the caller's transaction.

    The queue is a table of the same database, so a rolled-back change tells nobody and a committed one is never lost.
    """
    for name in settings.EVENT_SUBSCRIBERS.get(event_type, []):
        async_task(name, *args)

"""What every timer does with the rows that are due."""

import logging
from collections.abc import Callable, Iterable

from django.db import InterfaceError, OperationalError

log = logging.getLogger(__name__)


def each_due(work: Callable[[str], int], ids: Iterable[str]) -> int:
    """Do the work for each; how often it did something. What fails is logged and comes again with the next tick: it must not
    keep the others waiting.
    """
    done = 0
    for each in ids:
        try:
            done += work(each)
        except (OperationalError, InterfaceError):  # the database is away, for all of them
            raise
        except Exception:
            log.exception("%s failed for %s", work.__name__, each)
    return done

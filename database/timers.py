"""What every timer does with the rows that are due."""

import logging
from collections.abc import Callable, Iterable

from database.outages import is_away, passes

log = logging.getLogger(__name__)


def each_due(work: Callable[[str], int], ids: Iterable[str]) -> int:
    """Do the work for each; how often it did something. What fails is logged and comes again with the next tick: it must not
    keep the others waiting.
    """
    done = 0
    for each in ids:
        try:
            done += work(each)
        except Exception as error:
            if is_away(error):  # for all of them
                raise
            if passes(error):
                log.warning("%s comes again for %s: %s", work.__name__, each, error)
            else:
                log.exception("%s failed for %s", work.__name__, each)
    return done

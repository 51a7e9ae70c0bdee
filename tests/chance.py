"""How much the tests that play with chance try: enough to find a coarse fault at once; `make test-deep` gives them their time."""

import os

from hypothesis import HealthCheck, settings

ROUNDS = int(os.environ.get("RACE_ROUNDS", "4"))  # of a race
EXAMPLES = int(os.environ.get("EXAMPLES", "24"))  # for a property
PAGES = int(os.environ.get("PAGES", "6"))  # that a browser is shown
TRIED = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SOME_TRIED = settings(  # where one example is a whole run
    TRIED,
    max_examples=max(1, EXAMPLES // 8),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

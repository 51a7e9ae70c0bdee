"""The Chromium of the tests: the one that machines use here, else the one that the product fetches, into TOOLS_DIR."""

import functools

from machines.drivers.browser.chromium import Program, browser_program
from machines.tools.catalogue import CHROMIUM
from machines.tools.fetching import fetch
from machines.tools.npm import FetchError


@functools.cache
def absence() -> str | None:
    """Why there is no Chromium here; None when there is one. Fetches it when it is first asked for."""
    if browser_program():
        return None
    try:
        fetch(CHROMIUM, lambda text: None)
    except FetchError as error:
        return str(error)
    return None


def program() -> Program:
    """The browser that the pages are looked at with: the same engine that machines have."""
    found = None if absence() else browser_program()
    assert found, absence()
    return found

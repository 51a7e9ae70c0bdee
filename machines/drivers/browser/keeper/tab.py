"""What the keeper knows of one tab of a browser."""

import time
from dataclasses import dataclass, field

from machines.drivers.browser.cdp import Params

QUIET = 0.05  # seconds without loading after which a page counts as settled
LONG_REQUEST = 2.0  # seconds after which a request (a long poll, a stream) is no longer waited for


@dataclass
class Page:
    """One tab."""

    target: str
    session: str
    url: str = ""
    title: str = ""
    dialog: Params | None = None
    typed: str = ""  # what the field of a prompt() holds
    selected: bool = False  # all of that is selected, as a browser shows a default: the next text replaces it
    chooser: Params | None = None  # the last file chooser that it asked for, and its number
    children: set[str] = field(default_factory=set)  # sessions of frames that have processes of their own
    posted: bool = False  # the document is the answer to a form: to load it again would send that again
    refused: bool = False  # the document is the egress proxy's own answer: the site was not reached
    frames: set[str] = field(default_factory=set)  # that load
    requests: dict[str, float] = field(default_factory=dict)  # under way, and since when
    changed: float = field(default_factory=time.monotonic)

    def is_settled(self, since: float) -> bool:
        """Nothing has been loading for a moment that began at `since` or later."""
        now = time.monotonic()
        fetching = any(now - began < LONG_REQUEST for began in self.requests.values())
        quiet = now - max(self.changed, since) >= QUIET
        return self.dialog is not None or (quiet and not self.frames and not fetching)


def is_of_page(params: Params, page: Page) -> bool:
    """Is it about the tab's own document? A page's main frame has the name of its target."""
    return params.get("type") == "Document" and params.get("frameId") == page.target

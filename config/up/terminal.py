"""What `manage.py up` says to the person who started it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class CannotStart(Exception):
    """One clear sentence: what is in the way, and what to do."""


def say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """One line per long step: its name while it goes on, how long it took at the end."""
    print(f"{what} … ", end="", flush=True)
    begun = time.monotonic()
    try:
        yield
    except BaseException:
        say("stopped")
        raise
    say(f"ok {time.monotonic() - begun:.1f} s")

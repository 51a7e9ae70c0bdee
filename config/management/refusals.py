"""Refusals at a shell."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError

from accounts.pages import problems
from web.errors import Refusal, following_up


@contextmanager
def refusals_as_errors(about: str = "") -> Iterator[None]:
    """A refusal ends the command with its words."""
    try:
        with following_up():
            yield
    except Refusal as refusal:
        raise CommandError(about + " ".join(sentence for _, sentence in problems(refusal))) from refusal

"""`manage.py fetch chromium`: brings a program that machines need and this computer lacks. `up` does it by itself."""

import signal
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from config.first_run import provide
from machines.drivers.isolation import sandbox
from machines.tools.catalogue import CHROMIUM, TOOLS
from machines.tools.fetching import fetch
from machines.tools.npm import FetchError


class Command(BaseCommand):
    help = "Fetches a program that machines need, and makes the machines that waited for it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=sorted(TOOLS))

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was begun is cleared away
        tool, begun = TOOLS[options["name"]], time.monotonic()
        try:
            if tool is CHROMIUM and (problem := sandbox.problem("browser")):
                raise FetchError(problem)
            new = fetch(tool, self._say)
        except FetchError as error:
            self._say(
                f"{tool.title} is not here: {error} Tried again at the next start, or by manage.py fetch {tool.name}."
            )
            sys.exit(1)
        took = f" ({time.monotonic() - begun:.0f} s)" if new else ""
        self._say(f"{tool.title} is here{took}: {tool.folder}")
        for machine in _provided():
            self._say(f"{machine.display_name} is being made ({machine.id}).")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _provided() -> list[Any]:
    """What waited is made now; without a database the next start does it."""
    try:
        return provide()
    except DatabaseError:
        return []

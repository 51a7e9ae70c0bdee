"""`manage.py clock`: deadlines, expiries, reminders, messages to send again, machines whose time is over.

One runs, others wait.
"""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from config.clock import Clock


class Command(BaseCommand):
    help = "Runs the timers. Any number may run; one ticks, the others stand by."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        Clock(stop).run()

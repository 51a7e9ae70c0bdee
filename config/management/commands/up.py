"""`manage.py up`: all of Countersign on this computer. Settings by environment: PORT, HOST, DATA_DIR, DATABASE_URL."""

import os
import signal
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config.own_processes import die_with_parent
from config.postgres.home import PostgresError
from config.up.checks import port_number
from config.up.supervisor import Supervisor
from config.up.terminal import CannotStart


class Command(BaseCommand):
    help = "Start the database, web, worker and clock, and keep them running until Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--with-parent", action="store_true", help="stop when the parent (make) is gone, even by kill"
        )
        parser.add_argument("--prepare-only", action="store_true", help="set the database up, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["with_parent"]:
            die_with_parent(signal.SIGTERM)
        try:
            Supervisor(
                data_dir=settings.DATA_DIR,
                host=os.environ.get("HOST") or "127.0.0.1",
                port=port_number(os.environ.get("PORT") or "8000"),
                given_database=os.environ.get("DATABASE_URL", ""),
            ).run(options["prepare_only"])
        except (CannotStart, PostgresError) as sentence:
            sys.exit(str(sentence))

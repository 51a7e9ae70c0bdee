"""`manage.py migrate`: Django's own, one at a time and patient with those at work (config/postgres/migrating.py)."""

from typing import Any

from django.core.management.commands.migrate import Command as Migrate
from django.db import DEFAULT_DB_ALIAS

from config.postgres.migrating import only_one_migrates, patiently


class Command(Migrate):
    def handle(self, *args: Any, **options: Any) -> None:
        if options["database"] != DEFAULT_DB_ALIAS or options["plan"] or options["check_unapplied"]:
            super().handle(*args, **options)
            return
        with only_one_migrates():
            patiently(lambda: super(Command, self).handle(*args, **options))

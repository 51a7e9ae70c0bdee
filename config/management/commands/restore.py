"""`manage.py restore FILE`: makes this place what a backup was (docs/operations.md)."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.backup.errors import BackupError
from config.backup.passphrase import passphrase
from config.backup.restoring import require_not_newer, restore
from config.postgres.home import PostgresError
from config.up.terminal import CannotStart, say


class Command(BaseCommand):
    help = "Brings a backup back, as a whole or not at all; into an empty place unless it is told otherwise."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--replace", action="store_true", help="lose what is in this place")

    def handle(self, *args: Any, **options: Any) -> None:
        source = options["file"].absolute()
        try:
            require_not_newer(source)  # before anybody types
            restore(source, passphrase(new=False), say, replace=options["replace"])
        except (BackupError, CannotStart, PostgresError) as sentence:
            raise CommandError(str(sentence)) from sentence
